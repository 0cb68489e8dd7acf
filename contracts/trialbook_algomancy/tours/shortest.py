"""The shortest tour by OR-tools: proven by CP-SAT where there are few locations, by routing search where many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trialbook.algomancy import Integer, Progress, Values, algorithm
from trialbook_algomancy.solving import watched
from trialbook_algomancy.tours.algorithms import nearest_first, toured
from trialbook_algomancy.tours.locations import Locations, read_locations

LONGEST_ARC = 1_000_000
"""Solvers count in integers: distances are scaled so that the longest has this many units."""

MAX_LOCATIONS = 2000
"""The distances of all pairs are kept in memory, some 40 bytes each."""


@algorithm(
    "Solver",
    Integer("time_limit_s", default=10, minimum=1, maximum=3600),
    Integer("exact_up_to", default=60, minimum=0, maximum=500),
)
def solver(data: Any, values: Values, progress: Progress) -> dict[str, Any]:
    """The shortest tour found in ``time_limit_s`` seconds, with a bound that no tour can be shorter than.

    Up to ``exact_up_to`` locations the search can prove a tour the shortest, exact to half a millionth of the
    longest distance per leg; beyond, it gives no bound.
    """
    locations = read_locations(data)
    if len(locations.ids) > MAX_LOCATIONS:
        raise ValueError(f"Solver takes at most {MAX_LOCATIONS} locations, here are {len(locations.ids)}.")
    count, limit = len(locations.ids), values["time_limit_s"]
    if count <= 3:
        tour = list(range(count))
        return toured(locations, tour) | _proof("none", locations.length(tour), proven=True)
    start = nearest_first(locations, lambda _: progress.check())
    if count <= values["exact_up_to"]:
        found = _prove(locations, start, limit, progress)
    else:
        found = _search(locations, start, limit, progress)
    progress(100)
    return found


def _proof(method: str, bound: float | None, *, proven: bool) -> dict[str, Any]:
    return {"method": method, "bound": bound, "proven_optimal": proven}


def _prove(locations: Locations, start: Sequence[int], limit_s: int, progress: Progress) -> dict[str, Any]:
    """Branch and cut over a circuit constraint, beginning with a tour that is known."""
    from ortools.sat.python import cp_model

    units, scale = _units(locations)
    model, count = cp_model.CpModel(), len(locations.ids)
    successor = {here: start[(i + 1) % count] for i, here in enumerate(start)}
    arcs, costs = [], []
    for a in range(count):
        for b in range(count):
            if a != b:
                taken = model.new_bool_var(f"{a} to {b}")
                model.add_hint(taken, successor[a] == b)
                arcs.append((a, b, taken))
                costs.append(units[a][b] * taken)
    model.add_circuit(arcs)
    model.minimize(sum(costs))
    search = cp_model.CpSolver()
    search.parameters.max_time_in_seconds = limit_s
    # One worker that cuts the linear relaxation proves 60 locations in half a second of CPU time; the default portfolio
    # does not on a small machine in 15, and may give another tour every time.
    search.parameters.num_workers = 1
    search.parameters.linearization_level = 2
    status = watched(lambda: search.solve(model), search.stop_search, progress, limit_s)
    # Each leg was rounded by half a unit at most.
    bound = max(0.0, (search.best_objective_bound - count / 2) / scale)
    if status not in {cp_model.OPTIMAL, cp_model.FEASIBLE}:
        return toured(locations, start) | _proof("nearest neighbour", bound, proven=False)
    follows = {a: b for a, b, taken in arcs if search.boolean_value(taken)}
    return toured(locations, _walk(follows)) | _proof("cp-sat", bound, proven=status == cp_model.OPTIMAL)


def _walk(follows: dict[int, int]) -> list[int]:
    tour = [0]
    while follows[tour[-1]] != 0:
        tour.append(follows[tour[-1]])
    return tour


def _search(locations: Locations, start: Sequence[int], limit_s: int, progress: Progress) -> dict[str, Any]:
    """Guided local search from a tour that is known.

    The search holds the interpreter, so it gets its time second by second, each time from the best tour so far.
    """
    from ortools.constraint_solver import pywrapcp, routing_enums_pb2

    units, _ = _units(locations)
    manager = pywrapcp.RoutingIndexManager(len(locations.ids), 1, 0)
    routing = pywrapcp.RoutingModel(manager)
    routing.SetArcCostEvaluatorOfAllVehicles(routing.RegisterTransitMatrix(units))
    parameters = pywrapcp.DefaultRoutingSearchParameters()
    parameters.local_search_metaheuristic = routing_enums_pb2.LocalSearchMetaheuristic.GUIDED_LOCAL_SEARCH
    parameters.time_limit.seconds = 1
    routing.CloseModelWithParameters(parameters)
    tour = list(start)
    for second in range(limit_s):
        known = routing.ReadAssignmentFromRoutes([tour[1:]], True)
        found = routing.SolveFromAssignmentWithParameters(known, parameters)
        if found is not None:
            tour = _route(manager, routing, found)
        progress(100 * (second + 1) / limit_s)
    return toured(locations, tour) | _proof("routing", None, proven=False)


def _route(manager: Any, routing: Any, found: Any) -> list[int]:
    tour, index = [], routing.Start(0)
    while not routing.IsEnd(index):
        tour.append(manager.IndexToNode(index))
        index = found.Value(routing.NextVar(index))
    return tour


def _units(locations: Locations) -> tuple[list[list[int]], float]:
    """All distances in units of the solver, and how many units there are to one of the coordinates'."""
    every = range(len(locations.ids))
    far = [[locations.distance(a, b) for b in every] for a in every]
    scale = LONGEST_ARC / (max(map(max, far)) or 1.0)
    return [[round(distance * scale) for distance in row] for row in far], scale

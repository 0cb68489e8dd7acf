"""Tours: heuristics, the proven optimum against every permutation, and the routing search."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime
from itertools import pairwise, permutations
from random import Random
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trialbook.algomancy import Progress
from trialbook.algomancy.testing import Trial, TrialData, try_algorithm
from trialbook.clock import SystemClock
from trialbook.workload import Cancelled
from trialbook_algomancy.etl.load import load
from trialbook_algomancy.tours import profile
from trialbook_algomancy.tours import shortest as shortest_module
from trialbook_algomancy.tours.example import tour_files

Tables = dict[str, pd.DataFrame]
Points = list[tuple[int, int]]


@pytest.fixture(scope="module")
def example() -> Tables:
    outcome = load(tour_files(stores=10, customers=5, xdocks=2), profile.etl, "example_data")
    assert not [message for message in outcome.record.messages if message.code is not None]
    return dict(outcome.tables)


def tables(points: Points) -> Tables:
    rows = [(number + 1, float(x), float(y)) for number, (x, y) in enumerate(points)]
    frames = [pd.DataFrame(part, columns=["ID", "x", "y"]).astype({"ID": "int64"}) for part in (rows[:1], rows[1:])]
    return {"dc": frames[0], "stores": frames[1]}


def tried(name: str, data: Tables, **parameters: Any) -> Trial:
    algorithm = profile.find(name)
    assert algorithm is not None
    trial = try_algorithm(algorithm, data, parameters, kpis=profile.kpis)
    assert trial.error is None, trial.error
    assert trial.result is not None
    assert trial.kpis["Total_costs"] == pytest.approx(trial.result["length"], rel=1e-12)
    return trial


def shortest(points: Points) -> float:
    others = range(1, len(points))
    tours = ((0, *order, 0) for order in permutations(others))
    return min(sum(math.dist(points[a], points[b]) for a, b in pairwise(tour)) for tour in tours)


def test_the_example_visits_every_kind_of_location(example: Tables) -> None:
    assert {name: len(table) for name, table in example.items()} == {
        "dc": 1, "stores": 10, "otherlocations.customer": 5, "otherlocations.xdock": 2,
    }  # fmt: skip
    lengths = {}
    for name in ("Nearest Neighbour", "Simulated Annealing", "Solver"):
        trial = tried(name, example, **({"time_limit_s": 300} if name == "Solver" else {}))
        assert trial.result is not None
        assert sorted(trial.result["tour"]) == list(range(1, 19))
        assert trial.result["tour"][0] == 1
        assert trial.progress[-1] == 100.0
        lengths[name] = trial.result["length"]
    assert lengths["Solver"] < lengths["Simulated Annealing"] <= lengths["Nearest Neighbour"]


def test_the_nearest_neighbour_begins_at_the_lowest_id_and_ties_go_to_the_lowest() -> None:
    data = tables([(0, 0), (0, 2), (2, 0), (0, 1)])
    data["stores"]["ID"] = [9, 5, 4]
    assert tried("Nearest Neighbour", data).result["tour"] == [1, 4, 9, 5]  # type: ignore[index]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_smallest_tours(count: int) -> None:
    data = tables([(0, 0), (3, 4), (0, 8)][:count])
    for name in ("Nearest Neighbour", "Simulated Annealing", "Solver"):
        result = tried(name, data).result
        assert result is not None
        assert result["length"] == pytest.approx([0, 10, 18][count - 1])


@settings(deadline=None, max_examples=10)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=4, max_size=7), st.integers(0, 99))
def test_the_solver_proves_what_all_permutations_show(points: Points, seed: int) -> None:
    data, best = tables(points), shortest(points)
    exact = tried("Solver", data, time_limit_s=300).result
    assert exact is not None
    assert (exact["method"], exact["proven_optimal"]) == ("cp-sat", True)
    assert exact["length"] == pytest.approx(best, rel=1e-4, abs=1e-4)
    assert exact["bound"] <= best + 1e-9
    assert exact["bound"] == pytest.approx(best, rel=1e-4, abs=1e-4)
    nearest, annealed = tried("Nearest Neighbour", data).result, tried("Simulated Annealing", data, seed=seed).result
    assert nearest is not None
    assert annealed is not None
    assert best - 1e-9 <= annealed["length"] <= nearest["length"] + 1e-9


def test_the_routing_search_improves_on_its_start_and_proves_nothing() -> None:
    generator = Random(5)
    data = tables([(generator.randint(0, 999), generator.randint(0, 999)) for _ in range(80)])
    found = tried("Solver", data, time_limit_s=2, exact_up_to=60).result
    nearest = tried("Nearest Neighbour", data).result
    assert found is not None
    assert nearest is not None
    assert (found["method"], found["proven_optimal"], found["bound"]) == ("routing", False, None)
    assert found["length"] < nearest["length"]
    assert sorted(found["tour"]) == list(range(1, 81))


def test_out_of_time_the_bound_is_honest() -> None:
    generator = Random(6)
    data = tables([(generator.randint(0, 999), generator.randint(0, 999)) for _ in range(150)])
    found = tried("Solver", data, time_limit_s=1, exact_up_to=200).result
    assert found is not None
    assert found["bound"] <= found["length"]
    assert found["proven_optimal"] is False


@pytest.mark.parametrize("exact_up_to", [0, 500])
def test_the_solvers_can_be_cancelled(exact_up_to: int) -> None:
    data = dict(load(tour_files(stores=120), profile.etl, "hard").tables)
    solver, clock, reported = profile.find("Solver"), SystemClock(), list[float]()
    assert solver is not None
    values = solver.parameters.resolve({"exact_up_to": exact_up_to, "time_limit_s": 600}, clock.now())

    def check() -> None:
        if reported and clock.monotonic() > began + 1:
            raise Cancelled

    began = clock.monotonic()
    with pytest.raises(Cancelled):
        solver.run(TrialData(data), values, Progress(reported.append, check, time.sleep, clock))
    assert clock.monotonic() < began + 300
    assert 0 < reported[-1] < 50


def test_the_solver_says_when_it_is_too_much(example: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shortest_module, "MAX_LOCATIONS", 17)
    solver = profile.find("Solver")
    assert solver is not None
    assert try_algorithm(solver, example).error == "Solver takes at most 17 locations, here are 18."


def test_annealing_has_the_given_constants_and_repeats_itself(example: Tables) -> None:
    algorithm = profile.find("Simulated Annealing")
    assert algorithm is not None
    values = algorithm.parameters.resolve(None, datetime(2026, 1, 1, tzinfo=UTC))
    assert list(values.values()) == [1000.0, 0.995, 1.0, 10_000, 42]
    slow = {"cooling_rate": 0.9999, "max_swaps": 30_000, "initial_temperature": 5.0, "minimum_temperature": 0.01}
    first, again = tried("Simulated Annealing", example, **slow), tried("Simulated Annealing", example, **slow)
    assert first.result == again.result
    nearest = tried("Nearest Neighbour", example)
    assert first.kpis["Total_costs"] < nearest.kpis["Total_costs"]  # type: ignore[operator]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({}, "The dataset has no locations: its tables are dc, stores, otherlocations.customer, otherlocations.xdock."),
        (tables([(0, 0)] * 2) | {"dc": tables([(1, 1)] * 3)["stores"]}, "The location 2 is there twice."),
        ({"dc": pd.DataFrame({"ID": [1], "x": [None], "y": [2.0]})}, "Every location needs an ID, x and y."),
    ],
)
def test_what_is_no_tour_is_told(data: Tables, text: str) -> None:
    algorithm = profile.find("Nearest Neighbour")
    assert algorithm is not None
    assert try_algorithm(algorithm, data).error == text

"""The optimum as a mixed-integer program, solved by HiGHS, with a bound on what is left to gain."""

from __future__ import annotations

from typing import Any

from trialbook.algomancy import Float, Integer, Progress, Values, algorithm
from trialbook_algomancy.facilities.heuristic import open_cheapest
from trialbook_algomancy.facilities.model import COST_PER_KM, SERVICE_RADIUS, Flow, Network, read_network, solution
from trialbook_algomancy.solving import watched

MAX_PAIRS = 1_000_000
"""Customers times sites: each pair is a variable and a constraint."""
NOTHING = 1e-6
"""Parts of a customer's demand below this are the solver's rounding."""


@algorithm(
    "Exact",
    COST_PER_KM,
    SERVICE_RADIUS,
    Integer("time_limit_s", default=30, minimum=1, maximum=3600),
    Float("relative_gap", default=1e-6, minimum=0.0, maximum=1.0),
)
def exact(data: Any, values: Values, progress: Progress) -> dict[str, Any]:
    """The cheapest network found in ``time_limit_s`` seconds, and a ``bound`` that no network can be cheaper than.

    ``gap`` is the part of the cost between the two; the search ends when it is at most ``relative_gap``.
    """
    network = read_network(data)
    if len(network.customers) * len(network.sites) > MAX_PAIRS:
        raise ValueError(f"Exact takes at most {MAX_PAIRS} pairs of customers and sites.")
    cost_per_km, radius = values["cost_per_km"], values["service_radius"]
    heuristic = solution(network, open_cheapest(network, cost_per_km, progress), cost_per_km, radius)
    flows, bound = _optimise(network, values, progress)
    found = heuristic if flows is None else solution(network, flows, cost_per_km, radius)
    by_solver = found["cost"] <= heuristic["cost"] and flows is not None
    best = found if by_solver else heuristic
    gap = max(0.0, best["cost"] - bound) / best["cost"] if best["cost"] > 0 else 0.0
    progress(100)
    return best | {
        "method": "highs" if by_solver else "greedy",
        "bound": bound,
        "gap": gap,
        "proven_optimal": gap <= values["relative_gap"] + 1e-9,
    }


def _optimise(network: Network, values: Values, progress: Progress) -> tuple[list[Flow] | None, float]:
    """What HiGHS finds, None if nothing in time, and its bound.

    Variables: whether each site is open, then the part of each customer's demand that each site serves.
    """
    import numpy as np
    from scipy.optimize import Bounds, milp

    sites, customers = len(network.sites), len(network.customers)
    if customers == 0:
        return [], 0.0
    demand, distance = np.array(network.demand), np.array(network.distance)
    costs = np.concatenate([network.fixed_cost, (demand[:, None] * distance * values["cost_per_km"]).ravel()])
    options = {"time_limit": values["time_limit_s"], "mip_rel_gap": values["relative_gap"]}
    answer = watched(
        lambda: milp(
            costs,
            integrality=np.concatenate([np.ones(sites), np.zeros(sites * customers)]),
            bounds=Bounds(0, 1),
            constraints=_constraints(network),
            options=options,
        ),
        _let_it_end,
        progress,
        values["time_limit_s"],
    )
    bound = 0.0 if answer.mip_dual_bound is None else max(0.0, float(answer.mip_dual_bound))
    if answer.x is None:
        if answer.status != 1:  # 1: out of time
            raise RuntimeError(f"HiGHS: {answer.message}")
        return None, bound
    parts = answer.x[sites:].reshape(customers, sites)
    served = [(int(i), int(j)) for i, j in zip(*np.nonzero(parts > NOTHING), strict=True) if network.demand[i] > 0]
    return [Flow(i, j, float(parts[i, j] * network.demand[i])) for i, j in served], bound


def _constraints(network: Network) -> list[Any]:
    """Everybody is served in full, by open sites only, and no site beyond its capacity."""
    import numpy as np
    from scipy import sparse
    from scipy.optimize import LinearConstraint

    sites, customers = len(network.sites), len(network.customers)
    whole = sparse.hstack([
        sparse.csr_array((customers, sites)), sparse.kron(sparse.eye_array(customers), np.ones((1, sites)))
    ])  # fmt: skip
    only_open = sparse.hstack([
        sparse.kron(np.ones((customers, 1)), -sparse.eye_array(sites)), sparse.eye_array(customers * sites)
    ])  # fmt: skip
    load = sparse.kron(np.array(network.demand)[None, :], sparse.eye_array(sites))
    within = sparse.hstack([-sparse.diags_array(np.array(network.capacity)), load])
    return [
        LinearConstraint(whole, 1, 1),
        LinearConstraint(only_open, -np.inf, 0),
        LinearConstraint(within, -np.inf, 0),
    ]


def _let_it_end() -> None:
    """SciPy offers no way to interrupt HiGHS: its time limit ends it, or the end of the process."""

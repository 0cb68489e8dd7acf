"""Facilities: feasibility of every answer, the optimum against every set of sites, and bounds that hold."""

from __future__ import annotations

import math
from itertools import chain, combinations
from typing import Any

import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from trialbook.algomancy.testing import Trial, try_algorithm
from trialbook_algomancy.etl.load import load
from trialbook_algomancy.facilities import optimum, profile
from trialbook_algomancy.facilities.example import facility_files

Tables = dict[str, pd.DataFrame]
CUSTOMER = ["id", "x", "y", "demand"]
SITE = ["id", "x", "y", "capacity", "fixed_cost"]


@pytest.fixture(scope="module")
def example() -> Tables:
    outcome = load(facility_files(), profile.etl, "example_data")
    assert not [message for message in outcome.record.messages if message.code is not None]
    return dict(outcome.tables)


def network(customers: list[tuple[Any, ...]], sites: list[tuple[Any, ...]]) -> Tables:
    return {"customers": pd.DataFrame(customers, columns=CUSTOMER), "sites": pd.DataFrame(sites, columns=SITE)}


def tried(name: str, data: Tables, **parameters: Any) -> Trial:
    algorithm = profile.find(name)
    assert algorithm is not None
    trial = try_algorithm(algorithm, data, parameters, kpis=profile.kpis)
    assert trial.error is None, trial.error
    assert trial.result is not None
    check(trial.result, data, parameters.get("cost_per_km", 1.0))
    return trial


def check(result: dict[str, Any], data: Tables, cost_per_km: float) -> None:
    """Every unit is served once, no site beyond its capacity, and the costs add up."""
    customers, sites = data["customers"].set_index("id"), data["sites"].set_index("id")
    flows = pd.DataFrame(result["flows"], columns=["customer", "site", "amount"])
    served = flows.groupby("customer")["amount"].sum()
    wanted = customers["demand"][customers["demand"] > 0]
    pd.testing.assert_series_equal(
        served.sort_index(),
        wanted.sort_index(),
        check_names=False,
        check_dtype=False,
        rtol=1e-5,
        check_index_type=False,
    )
    load_ = flows.groupby("site")["amount"].sum()
    assert all(load_[site] <= sites["capacity"][site] * (1 + 1e-6) + 1e-9 for site in load_.index)
    assert set(result["open"]) == set(flows["site"])
    transport = sum(
        flow.amount
        * cost_per_km
        * math.dist(customers.loc[flow.customer, ["x", "y"]], sites.loc[flow.site, ["x", "y"]])
        for flow in flows.itertuples()
    )
    assert result["transport_cost"] == pytest.approx(transport, rel=1e-9, abs=1e-9)
    assert result["fixed_cost"] == pytest.approx(sites.loc[result["open"], "fixed_cost"].sum())
    assert result["cost"] == pytest.approx(result["fixed_cost"] + result["transport_cost"])


def test_the_example_costs_less_when_it_is_optimised(example: Tables) -> None:
    assert [len(table) for table in example.values()] == [60, 15]
    greedy, exact = tried("Greedy", example), tried("Exact", example)
    assert exact.result is not None
    assert exact.result["proven_optimal"] is True
    assert exact.result["method"] == "highs"
    assert exact.result["gap"] <= 1e-6
    assert exact.result["bound"] <= exact.result["cost"] * (1 + 1e-9)
    assert exact.kpis["Cost"] < greedy.kpis["Cost"]  # type: ignore[operator]
    assert exact.kpis["Cost"] == exact.result["cost"]
    assert exact.kpis["Open Sites"] == len(exact.result["open"])
    assert exact.kpis["Service Level"] == pytest.approx(100 * exact.result["service_level"])
    assert exact.progress[-1] == 100.0


def test_a_network_by_hand() -> None:
    data = network([("c", 0, 0, 10), ("d", 30, 40, 5)], [("near", 0, 3, 12, 7), ("far", 30, 40, 9, 1000)])
    data["sites"]["capacity"] = [15, 9]
    trial = tried("Exact", data, cost_per_km=2.0, service_radius=5.0)
    assert trial.result is not None
    assert trial.result["open"] == ["near"]
    assert trial.kpis["Cost"] == pytest.approx(7 + 2 * (10 * 3 + 5 * math.hypot(30, 37)))
    assert trial.kpis["Service Level"] == pytest.approx(100 * 10 / 15)


def enumerated(data: Tables) -> float:
    """The least cost over every set of sites, each with its best transport."""
    customers, sites = data["customers"], data["sites"]
    n = len(customers)
    best = math.inf
    for chosen in chain.from_iterable(combinations(range(len(sites)), k) for k in range(1, len(sites) + 1)):
        opened = sites.iloc[list(chosen)]
        cost = [math.dist((c.x, c.y), (s.x, s.y)) for c in customers.itertuples() for s in opened.itertuples()]
        k = len(opened)
        served = [[float(j // k == i) for j in range(n * k)] for i in range(n)]
        within = [[float(j % k == s) for j in range(n * k)] for s in range(k)]
        answer = linprog(cost, within, opened["capacity"], served, customers["demand"])
        if answer.status == 0:
            best = min(best, answer.fun + opened["fixed_cost"].sum())
    return best


places = st.tuples(st.integers(0, 20), st.integers(0, 20))


@settings(deadline=None, max_examples=20)
@given(
    st.lists(st.tuples(places, st.integers(0, 9)), min_size=1, max_size=5),
    st.lists(st.tuples(places, st.integers(0, 20), st.integers(0, 60)), min_size=1, max_size=4),
)
def test_no_set_of_sites_is_cheaper(
    customers: list[tuple[tuple[int, int], int]], sites: list[tuple[tuple[int, int], int, int]]
) -> None:
    assume(sum(demand for _, demand in customers) <= sum(capacity for _, capacity, _ in sites))
    assume(any(demand for _, demand in customers))
    data = network(
        [(f"c{i}", *place, float(demand)) for i, (place, demand) in enumerate(customers)],
        [(f"s{j}", *place, float(capacity), float(fixed)) for j, (place, capacity, fixed) in enumerate(sites)],
    )
    best, greedy = tried("Exact", data), tried("Greedy", data)
    assert best.result is not None
    assert best.result["proven_optimal"] is True
    assert best.kpis["Cost"] == pytest.approx(enumerated(data), rel=1e-5, abs=1e-5)
    assert greedy.kpis["Cost"] >= best.kpis["Cost"] * (1 - 1e-6) - 1e-6  # type: ignore[operator]
    assert best.result["bound"] <= best.result["cost"] * (1 + 1e-6) + 1e-6


def test_out_of_time_the_gap_is_told() -> None:
    outcome = load(facility_files(customers=500, sites=120), profile.etl, "large")
    found = tried("Exact", dict(outcome.tables), time_limit_s=1, cost_per_km=0.05).result
    assert found is not None
    assert found["proven_optimal"] is False
    assert found["gap"] == pytest.approx((found["cost"] - found["bound"]) / found["cost"])
    assert 0 < found["gap"] <= 1


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({}, "The dataset has no table 'customers'."),
        (network([("c", 0, 0, 9)], [("s", 0, 0, 8, 1)]), "The sites can serve 8 of a demand of 9."),
        (network([("c", 0, 0, None)], [("s", 0, 0, 8, 1)]), "A demand of 'customers' is missing or no finite number."),
        (network([("c", 0, 0, -1)], [("s", 0, 0, 8, 1)]), "A demand of 'customers' is negative."),
        (network([("c", 0, 0, 1)] * 2, [("s", 0, 0, 8, 1)]), "An id of 'customers' is there twice."),
        (network([("c", 0, 0, 1)], [("s", math.inf, 0, 8, 1)]), "A x of 'sites' is missing or no finite number."),
    ],
)
@pytest.mark.parametrize("name", ["Greedy", "Exact"])
def test_what_is_no_network_is_told(name: str, data: Tables, text: str) -> None:
    algorithm = profile.find(name)
    assert algorithm is not None
    assert try_algorithm(algorithm, data).error == text


@pytest.mark.parametrize("name", ["Greedy", "Exact"])
def test_nobody_to_serve_costs_nothing(name: str) -> None:
    empty = network([], [("s", 0, 0, 8, 1)]), network([("c", 0, 0, 0.0)], [("s", 0, 0, 8, 1)])
    for data in empty:
        trial = tried(name, data)
        assert trial.kpis == {"Cost": 0, "Open Sites": 0, "Service Level": 100.0}


def test_the_exact_solver_says_when_it_is_too_much(example: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimum, "MAX_PAIRS", 10)
    algorithm = profile.find("Exact")
    assert algorithm is not None
    assert try_algorithm(algorithm, example).error == "Exact takes at most 10 pairs of customers and sites."

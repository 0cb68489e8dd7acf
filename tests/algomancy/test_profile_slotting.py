"""Slotting: the example's shape, each algorithm against its definition, and the laws between them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random
from time import process_time
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trialbook.algomancy import load_profile
from trialbook.algomancy.testing import Trial, try_algorithm
from trialbook.workload import Cancelled
from trialbook_algomancy.etl.load import load
from trialbook_algomancy.slotting import assignment, profile
from trialbook_algomancy.slotting.example import slotting_files
from trialbook_algomancy.slotting.warehouse import read_warehouse

Tables = dict[str, pd.DataFrame]


@pytest.fixture(scope="module")
def example() -> Tables:
    outcome = load(slotting_files(), profile.etl, "example_data")
    assert outcome.record.success
    assert not [message for message in outcome.record.messages if message.code is not None]
    return dict(outcome.tables)


def tried(name: str, tables: Tables, **parameters: Any) -> Trial:
    algorithm = profile.find(name)
    assert algorithm is not None
    trial = try_algorithm(algorithm, tables, parameters, kpis=profile.kpis)
    assert trial.error is None, trial.error
    return trial


def warehouse(
    items: Sequence[tuple[str, int, str | None]], slots: Sequence[tuple[str, float, float, str | None]]
) -> Tables:
    skus = pd.DataFrame(items, columns=["itemid", "daily_picks", "currentslot"])
    layout = pd.DataFrame(slots, columns=["slotid", "x", "y", "zone"])
    texts = {"itemid": "string", "currentslot": "string"}
    return {
        "sku_data": skus.astype(texts | {"daily_picks": "int64"}).assign(category="c"),
        "warehouse_layout": layout.astype({"slotid": "string", "zone": "string", "x": "float64", "y": "float64"}),
    }


def test_the_example_has_the_shape_that_is_described(example: Tables) -> None:
    skus, layout = example["sku_data"], example["warehouse_layout"]
    assert (len(skus), len(layout)) == (150, 1000)
    assert list(skus["itemid"]) == [str(number) for number in range(1001, 1151)]
    blocks = skus.groupby("category", sort=False).agg(
        n=("itemid", "size"), first=("currentslot", "first"), last=("currentslot", "last"), sku=("sku", "last")
    )
    assert [tuple(row) for row in blocks.itertuples()] == [
        ("Electronics", 30, "SLOT-0001", "SLOT-0030", "ELC030"),
        ("Beverages", 25, "SLOT-0751", "SLOT-0775", "BEV025"),
        ("Grocery", 30, "SLOT-0251", "SLOT-0280", "GRO030"),
        ("Personal Care", 30, "SLOT-0501", "SLOT-0530", "PCA030"),
        ("Pet Supplies", 35, "SLOT-0031", "SLOT-0065", "PET035"),
    ]
    assert skus["currentslot"].is_unique
    assert skus["optimalslot"].is_unique
    assert skus["daily_picks"].between(9, 142).all()
    assert skus["volume_cm3"].between(15, 8500).all()
    assert skus["weight_kg"].between(0.002, 8.4).all()
    assert tuple(layout.iloc[0]) == ("SLOT-0001", 1.0, 1.0, "Zone A")
    assert tuple(layout.iloc[274]) == ("SLOT-0275", 24.0, 73.0, "Zone B")
    assert tuple(layout.iloc[999]) == ("SLOT-1000", 88.0, 73.0, "Zone D")
    optimal = dict(zip(skus["itemid"], skus["optimalslot"], strict=True))
    result = tried("Greedy Slotting", example).result
    assert result is not None
    assert result["allocation"] == optimal


def test_the_same_seed_gives_the_same_bytes() -> None:
    assert slotting_files(1) == slotting_files(1) != slotting_files(2)
    layout = slotting_files()["warehouse_layout.csv"].decode()
    assert layout.startswith("slotid;x;y;zone\nSLOT-0001;1.0;1.0;Zone A\n")
    assert layout.endswith(";Zone D\n")
    large = slotting_files(scale=3)
    assert [content.count(b"\n") for content in large.values()] == [451, 3001]


def test_as_is_moves_nothing(example: Tables) -> None:
    trial = tried("AsIs Slotting", example, depot_x=3.5)
    skus = example["sku_data"]
    assert trial.result is not None
    assert list(trial.result) == ["scenario_id", "completed_at", "allocation", "depot_x", "depot_y"]
    assert trial.result["allocation"] == dict(zip(skus["itemid"], skus["currentslot"], strict=True))
    assert (trial.result["depot_x"], trial.result["depot_y"]) == (3.5, 0.0)
    assert trial.kpis["Reslot Cost"] == 0.0
    assert trial.progress == [100.0]
    place = {slot: (x, y) for slot, x, y, _ in example["warehouse_layout"].itertuples(index=False)}
    rows = zip(skus["daily_picks"], skus["currentslot"], strict=True)
    cost = sum(picks * math.dist(place[slot], (3.5, 0.0)) for picks, slot in rows)
    assert trial.kpis["Travel Distance"] == pytest.approx(cost, rel=1e-12)


def test_greedy_settles_ties_by_id_as_text_and_position_in_the_layout() -> None:
    tables = warehouse(
        [("9", 5, "c"), ("10", 5, "b"), ("8", 7, "a")], [("c", 0, 2, "z"), ("a", 2, 0, "z"), ("b", 0, 1, "z")]
    )
    trial = tried("Greedy Slotting", tables)
    assert trial.result is not None
    assert trial.result["allocation"] == {"8": "b", "10": "c", "9": "a"}
    assert list(trial.result["allocation"]) == ["9", "10", "8"]


def test_greedy_within_zones_keeps_what_finds_no_place() -> None:
    slots = [("a1", 1.0, 0.0, "A"), ("a2", 2.0, 0.0, "A"), ("b1", 9.0, 0.0, "B"), ("n1", 0.0, 0.0, None)]
    items = [
        ("1", 1, "a1"),
        ("2", 5, "a2"),
        ("3", 3, "a2"),
        ("4", 9, "b1"),
        ("5", 9, "x"),
        ("6", 9, None),
        ("7", 9, "n1"),
    ]
    trial = tried("Greedy Slotting", warehouse(items, slots), respect_zones=True)
    assert trial.result is not None
    assert trial.result["allocation"] == {
        "1": "a1", "2": "a1", "3": "a2", "4": "b1", "5": "x", "6": None, "7": "n1",
    }  # fmt: skip
    few = tried("Greedy Slotting", warehouse(items, slots[:2]))
    assert few.result is not None
    assert few.result["allocation"]["4"] == "a1"
    assert few.result["allocation"]["5"] == "a2"
    assert few.result["allocation"]["2"] == "a2"  # no slot left: it stays


def test_kpis_by_hand() -> None:
    slots = [("a1", 3.0, 4.0, "A"), ("a2", 0.0, 1.0, "A"), ("b1", 6.0, 8.0, "B"), ("c1", 0.0, 0.0, "C")]
    trial = tried("AsIs Slotting", warehouse([("1", 2, "a1"), ("2", 4, "b1"), ("3", 9, "x"), ("4", 9, None)], slots))
    assert trial.kpis == {"Travel Distance": 2 * 5.0 + 4 * 10.0, "Zone Balance": 1.0, "Reslot Cost": 0.0}
    nowhere = tried("AsIs Slotting", warehouse([("1", 2, None)], slots))
    assert nowhere.kpis == {"Travel Distance": 0.0, "Zone Balance": 0.0, "Reslot Cost": 0.0}


# Few distinct coordinates and picks, so that ties are common.
places = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 4), st.sampled_from(["A", "B", None])), min_size=1, max_size=12
)
demand = st.lists(st.tuples(st.integers(0, 5), st.integers(-1, 11)), min_size=1, max_size=12)


def built(demand: list[tuple[int, int]], places: list[tuple[int, int, str | None]]) -> Tables:
    slots = [(f"s{number}", float(x), float(y), zone) for number, (x, y, zone) in enumerate(places)]
    current = [f"s{where % len(places)}" if where >= 0 else None for _, where in demand]
    rows = zip(demand, current, strict=True)
    return warehouse([(f"i{number}", picks, slot) for number, ((picks, _), slot) in enumerate(rows)], slots)


def fits(tables: Tables, *, respect_zones: bool) -> bool:
    read = read_warehouse(type("Data", (), {"tables": tables}))
    if not respect_zones:
        return len(read.items) <= len(read.slots)
    home = [read.zone_of().get(slot or "") for slot in read.current]
    return all(home.count(zone) <= read.zones.count(zone) for zone in set(home) - {None})


@settings(deadline=None)
@given(demand, places, st.booleans())
def test_greedy_is_optimal_wherever_there_is_room(
    demand: list[tuple[int, int]], places: list[tuple[int, int, str | None]], respect_zones: bool
) -> None:
    tables = built(demand, places)
    greedy = tried("Greedy Slotting", tables, respect_zones=respect_zones).kpis["Travel Distance"]
    exact = tried("Exact Slotting", tables, respect_zones=respect_zones)
    best = exact.kpis["Travel Distance"]
    assert greedy is not None
    assert best is not None
    assert best <= greedy * (1 + 1e-9)
    assert exact.result is not None
    assert (exact.result["cost"], exact.result["proven_optimal"]) == (best, True)
    if fits(tables, respect_zones=respect_zones):
        assert best == pytest.approx(greedy, rel=1e-9)


@pytest.mark.parametrize("respect_zones", [False, True])
def test_greedy_is_optimal_for_the_example(example: Tables, respect_zones: bool) -> None:
    found = [
        tried(name, example, respect_zones=respect_zones, depot_x=20.0, depot_y=7.5).kpis["Travel Distance"]
        for name in ("Greedy Slotting", "Exact Slotting")
    ]
    assert found[0] == pytest.approx(found[1], rel=1e-9)


def annealed(tables: Tables, iterations: int, temperature: float, cooling: float, seed: int) -> dict[str, str]:
    """The definition of the annealing, word for word."""
    place = {row.slotid: math.sqrt(row.x**2 + row.y**2) for row in tables["warehouse_layout"].itertuples()}
    picks = {row.itemid: row.daily_picks for row in tables["sku_data"].itertuples()}
    where = {row.itemid: row.currentslot for row in tables["sku_data"].itertuples()}
    generator, ids = Random(seed), list(where)
    for _ in range(iterations):
        a, b = generator.sample(ids, 2)
        d_a, d_b = place.get(where[a], 0), place.get(where[b], 0)
        change = picks[a] * (d_b - d_a) + picks[b] * (d_a - d_b)
        accept = change < 0
        if not accept and temperature > 0:
            accept = generator.random() < math.exp(-change / temperature)
        if accept:
            where[a], where[b] = where[b], where[a]
        temperature = temperature * cooling
    return where


@pytest.mark.parametrize(
    ("iterations", "temperature", "cooling", "seed"),
    [(2000, 100.0, 0.995, 42), (1, 100.0, 0.995, 0), (150, 1e-6, 1e-6, -3), (997, 5000, 1.0, 10**30)],
)
def test_annealing_is_reproducible_to_the_last_bit(
    example: Tables, iterations: int, temperature: float, cooling: float, seed: int
) -> None:
    trial = tried(
        "SA Slotting", example, iterations=iterations, start_temperature=temperature, cooling_rate=cooling, seed=seed
    )
    assert trial.result is not None
    assert trial.result["allocation"] == annealed(example, iterations, temperature, cooling, seed)
    assert trial.progress[-1] == 100.0


@settings(deadline=None)
@given(st.lists(st.integers(0, 9), max_size=8), st.integers(0, 2**32), st.sampled_from([1e-6, 1.0, 1e4]), st.booleans())
def test_annealing_only_swaps(picks: list[int], seed: int, temperature: float, respect_zones: bool) -> None:
    slots = [(f"s{n}", float(n * n % 7), float(n), "A") for n in range(len(picks) + 2)]
    tables = warehouse([(f"i{n}", number, f"s{n + 1}") for n, number in enumerate(picks)], slots)
    given_ = {"iterations": 60, "start_temperature": temperature, "seed": seed, "respect_zones": respect_zones}
    trial, as_is = tried("SA Slotting", tables, **given_), tried("AsIs Slotting", tables)
    assert trial.result is not None
    allocation = trial.result["allocation"]
    assert sorted(allocation.values()) == sorted(f"s{n + 1}" for n in range(len(picks)))
    occupied = sorted(math.hypot(x, y) for slot, x, y, _ in slots if slot in allocation.values())
    least = sum(p * d for p, d in zip(sorted(picks, reverse=True), occupied, strict=True))
    cost, before = trial.kpis["Travel Distance"], as_is.kpis["Travel Distance"]
    assert cost is not None
    assert before is not None
    assert cost >= least * (1 - 1e-9)
    if temperature == 1e-6:
        assert cost <= before * (1 + 1e-9)
    assert tried("SA Slotting", tables, **given_).result == trial.result


def test_annealing_reports_a_hundred_times_and_can_be_cancelled(example: Tables) -> None:
    assert tried("SA Slotting", example).progress == [float(percent) for percent in range(1, 101)]
    assert tried("SA Slotting", example, iterations=3).progress == [33.0, 66.0, 100.0]
    algorithm = profile.find("SA Slotting")
    assert algorithm is not None
    with pytest.raises(Cancelled):
        try_algorithm(algorithm, example, {"iterations": 10**5}, cancel_at=2)


@pytest.mark.parametrize("count", [0, 1])
def test_annealing_of_fewer_than_two_items_leaves_them(count: int) -> None:
    tables = warehouse([("1", 5, "a")][:count], [("a", 1, 1, "A")])
    trial = tried("SA Slotting", tables)
    assert trial.result is not None
    assert trial.result["allocation"] == dict([("1", "a")][:count])
    assert trial.progress == [100.0]


def test_a_hundred_thousand_items_are_not_compared_with_one_another() -> None:
    generator = Random(1)
    count = 100_000
    numbers = range(count)
    tables = warehouse(
        [(str(n), generator.randint(0, 200), f"s{n}") for n in numbers],
        [(f"s{n}", generator.random() * 99, generator.random() * 99, f"Zone {n % 8}") for n in numbers],
    )
    algorithm = profile.find("Greedy Slotting")
    assert algorithm is not None
    for respect_zones in (False, True):
        began = process_time()
        trial = try_algorithm(algorithm, tables, {"respect_zones": respect_zones})
        assert process_time() - began < 10  # a third of a second on an idle machine
        assert trial.result is not None
        assert len(set(trial.result["allocation"].values())) == count


def test_the_exact_solver_says_when_it_is_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assignment, "MAX_PAIRS", 3)
    tables = warehouse([("1", 5, "a"), ("2", 5, "b")], [("a", 1, 1, "A"), ("b", 1, 2, "A")])
    algorithm = profile.find("Exact Slotting")
    assert algorithm is not None
    error = try_algorithm(algorithm, tables).error
    assert error == "Exact Slotting takes at most 3 pairs of items and slots at once; here are 2 items and 2 slots."


@pytest.mark.parametrize(
    ("name", "parameters", "progress"),
    [
        ("Instant", {}, []),
        ("Long Progress", {"seconds": 3}, [33.0, 66.0, 100.0]),
        ("Failure Modes", {"mode": "key_error_in_kpi"}, []),
        ("Failure Modes", {"mode": "infinite_loop_capped"}, []),
        ("Parameter Matrix", {"time_param": "2026-01-01T00:00:00Z"}, [100.0]),
    ],
)
def test_probes_complete_with_kpis_that_are_null(
    example: Tables, name: str, parameters: dict[str, Any], progress: list[float]
) -> None:
    trial = tried(name, example, **parameters)
    assert trial.kpis == {"Travel Distance": None, "Zone Balance": None, "Reslot Cost": None}
    assert trial.progress == progress
    assert trial.result is not None
    assert trial.result.get("trigger_key_error") == (True if "key_error_in_kpi" in parameters.values() else None)


@pytest.mark.parametrize(
    ("mode", "text"),
    [
        ("raise_value_error", "Intentional ValueError from FailureModesAlgorithm"),
        ("raise_runtime", "Intentional RuntimeError from FailureModesAlgorithm"),
        ("return_none", "Scenario result is not available"),
    ],
)
def test_failure_modes(example: Tables, mode: str, text: str) -> None:
    algorithm = profile.find("Failure Modes")
    assert algorithm is not None
    assert try_algorithm(algorithm, example, {"mode": mode}, kpis=profile.kpis).error == text


def test_a_dataset_without_a_table_or_column_is_told(example: Tables) -> None:
    algorithm = profile.find("Greedy Slotting")
    assert algorithm is not None
    assert try_algorithm(algorithm, {}).error == "The dataset has no table 'sku_data'."
    bare = example | {"warehouse_layout": example["warehouse_layout"].drop(columns="zone")}
    assert try_algorithm(algorithm, bare).error == "The table 'warehouse_layout' has no column 'zone'."
    text = example | {"sku_data": example["sku_data"].assign(daily_picks="many")}
    assert try_algorithm(algorithm, text).error == "The column 'daily_picks' is not numeric: 'many'."


@pytest.mark.parametrize("name", ["AsIs Slotting", "Greedy Slotting", "SA Slotting"])
def test_unknown_picks_make_the_distance_unknown(name: str) -> None:
    tables = warehouse([("1", 5, "a"), ("2", 3, "b")], [("a", 1, 1, "A"), ("b", 2, 2, "A")])
    tables["sku_data"]["daily_picks"] = pd.array([None, 3], dtype="Int64")
    trial = tried(name, tables)
    assert trial.kpis["Travel Distance"] is None
    assert trial.result is not None
    assert sorted(trial.result["allocation"].values()) == ["a", "b"]


def test_a_warehouse_declares_parameters_of_its_own(example: Tables) -> None:
    served = load_profile("trialbook_algomancy.slotting:warehouse")
    data = type("Data", (), {"tables": example, "parameters": {}, "id": "d"})
    declared = served.data_parameters(data)
    assert declared is not None
    assert declared.name == "Warehouse Data"
    categories = ["Beverages", "Electronics", "Grocery", "Personal Care", "Pet Supplies"]
    assert [parameter.name for parameter in declared.parameters] == ["category_filter", "min_daily_picks"]
    assert declared.resolve(None, None) == {"category_filter": categories, "min_daily_picks": 0}  # type: ignore[arg-type]
    assert profile.data_parameters(data) is None
    assert served.data_parameters(type("Data", (), {"tables": {}})) is None


def test_greedy_drops_what_the_data_parameters_leave_out(example: Tables) -> None:
    algorithm = profile.find("Greedy Slotting")
    assert algorithm is not None
    chosen = {"category_filter": ["Grocery"], "min_daily_picks": 40}
    result = try_algorithm(algorithm, example, data_parameters=chosen).result
    skus = example["sku_data"]
    left = skus[(skus["category"] == "Grocery") & (skus["daily_picks"] >= 40)]
    assert result is not None
    assert set(result["allocation"]) == set(left["itemid"])
    assert 0 < len(left) < 30
    nearest = tried("Greedy Slotting", example).result
    assert nearest is not None
    # The few that are left get the nearest slots of all.
    assert set(result["allocation"].values()) < set(nearest["allocation"].values())

"""The slotting profile: what it starts with, its algorithms over HTTP, failures, and what is made by itself."""

from __future__ import annotations

import pytest

from tests.dialects.algomancy.client import Api, Json, Session, document, fresh
from trialbook_algomancy.slotting.example import slotting_files

pytestmark = pytest.mark.integration
SENTINEL = -9999999999
ALGORITHMS = [
    "AsIs Slotting", "Greedy Slotting", "SA Slotting", "Instant", "Long Progress", "Failure Modes", "Parameter Matrix",
    "Exact Slotting",
]  # fmt: skip


@pytest.fixture
def main(slotting: Api) -> Session:
    """The first session, which has the example."""
    return Session(slotting, slotting.call("GET", "/sessions")["default"])


def test_it_starts_with_the_example_and_its_scenario(main: Session) -> None:
    assert main.keys()[0] == "example_data"
    first = main.call("GET", "/scenarios")[0]
    assert (first["tag"], first["algorithm"]["name"]) == ("example_data [auto]", "Instant")
    found = main.call("GET", "/data/example_data")
    assert found["metadata"]["id"] == first["input_data_id"]
    assert found["metadata"]["type"] == "master_data"
    assert {name: len(table["data"]) for name, table in found["tables"].items()} == {
        "sku_data": 150, "warehouse_layout": 1000,
    }  # fmt: skip
    assert main.call("GET", "/algorithms") == {"algorithms": ALGORITHMS}
    assert main.call("GET", "/kpis") == {"kpis": ["Travel Distance", "Zone Balance", "Reslot Cost"]}
    assert main.detail("DELETE", "/data/example_data", 409) == "Cannot delete data used in scenarios."
    assert main.api.http.get("/algomancy/health").json()["title"] == "Algomancy API (Example)"


def test_greedy_is_as_good_as_exact_and_better_than_as_is(main: Session) -> None:
    made = {name: main.create("example_data", name) for name in (*ALGORITHMS[:3], "Exact Slotting")}
    for scenario in made.values():
        main.run(scenario)
    ended = {name: main.ended(scenario) for name, scenario in made.items()}
    cost = {name: found["kpis"]["Travel Distance"]["value"] for name, found in ended.items()}
    assert cost["Greedy Slotting"] == pytest.approx(cost["Exact Slotting"], rel=1e-9)
    assert cost["Greedy Slotting"] < cost["SA Slotting"] < cost["AsIs Slotting"]
    assert ended["AsIs Slotting"]["kpis"]["Reslot Cost"]["value"] == 0.0
    result = ended["Greedy Slotting"]["result"]
    assert list(result) == ["scenario_id", "completed_at", "allocation", "depot_x", "depot_y"]
    assert len(result["allocation"]) == 150
    assert all(main.status(scenario)["progress"] == 100.0 for scenario in made.values())


@pytest.mark.parametrize(
    ("mode", "error"),
    [
        ("raise_value_error", "Intentional ValueError from FailureModesAlgorithm"),
        ("raise_runtime", "Intentional RuntimeError from FailureModesAlgorithm"),
        ("return_none", "Scenario result is not available"),
    ],
)
def test_failures_tell_the_text(main: Session, mode: str, error: str) -> None:
    scenario = main.create("example_data", "Failure Modes", mode=mode)
    main.run(scenario)
    found = main.ended(scenario)
    assert (found["status"], found["result"]) == ("failed", {"error": error})
    assert {kpi["value"] for kpi in found["kpis"].values()} == {SENTINEL}


def test_kpis_without_an_allocation_are_null(main: Session) -> None:
    scenario = main.create("example_data", "Failure Modes", mode="key_error_in_kpi")
    main.run(scenario)
    found = main.ended(scenario)
    assert found["status"] == "complete"
    assert found["result"]["trigger_key_error"] is True
    assert [kpi["value"] for kpi in found["kpis"].values()] == [None, None, None]


def test_instant_completes_without_progress(main: Session) -> None:
    scenario = main.create("example_data", "Instant")
    main.run(scenario)
    assert main.ended(scenario)["status"] == "complete"
    assert main.status(scenario)["progress"] == 0.0


def test_the_matrix_of_parameters(main: Session) -> None:
    found = main.call("GET", "/algorithms/Parameter Matrix/parameters")
    assert found["name"] == "Parameter Matrix"
    kinds = {p["name"]: p["type"] for p in found["parameters"]}
    assert kinds == {
        "int_param": "integer", "float_param": "float", "string_param": "string", "bool_param": "boolean",
        "enum_param": "enum", "multi_enum_param": "multi_enum", "time_param": "time",
    }  # fmt: skip
    by_name = {p["name"]: p for p in found["parameters"]}
    assert list(by_name["int_param"]) == ["name", "type", "required", "value", "default", "min", "max"]
    assert "default" not in by_name["enum_param"]
    assert by_name["time_param"]["value"] is None
    given: Json = {"multi_enum_param": [], "time_param": "2026-01-15T10:30:00", "float_param": 2}
    scenario = main.create("example_data", "Parameter Matrix", **given)
    main.run(scenario)
    assert main.ended(scenario)["status"] == "complete"
    body = {"tag": fresh(), "dataset_key": "example_data", "algo_name": "Parameter Matrix"}
    for params, text in (
        ({"enum_param": "z"}, "Parameter 'enum_param' must be one of ['option_a', 'option_b', 'option_c']."),
        ({"bool_param": "no"}, "Parameter 'bool_param' must be a boolean."),
        ({"time_param": "yesterday"}, "Parameter 'time_param' must be a datetime."),
    ):
        assert main.detail("POST", "/scenarios", 400, json=body | {"algo_params": params}) == text


def test_new_datasets_get_a_scenario_by_themselves(slotting: Api) -> None:
    session = slotting.session()
    parts = [("files", (name, content)) for name, content in slotting_files().items()]
    for _ in range(2):
        loaded = session.call("POST", "/etl", data={"dataset_name": "loaded"}, files=parts)
        assert loaded["success"]
    session.add_data("json")
    session.call("POST", "/data/loaded/derive", 201, json={"new_key": "child"})
    tags = [s["tag"] for s in session.call("GET", "/scenarios")]
    assert tags == ["loaded [auto]", "json [auto]", "child [auto]"]
    assert {s["status"] for s in session.call("GET", "/scenarios")} == {"created"}
    session.call("POST", "/data/from-json", 201, json=document("json"))
    assert len(session.call("GET", "/scenarios")) == 3


def test_either_file_may_be_missing(slotting: Api) -> None:
    session = slotting.session()
    layout = slotting_files()["warehouse_layout.csv"]
    parts = [("files", ("warehouse_layout.csv", layout))]
    assert session.call("POST", "/etl", data={"dataset_name": "half"}, files=parts)["success"]
    assert list(session.call("GET", "/data/half")["tables"]) == ["warehouse_layout"]
    nothing = [("files", ("other.csv", b"a;b\n1;2\n"))]
    assert not session.call("POST", "/etl", data={"dataset_name": "none"}, files=nothing)["success"]
    assert session.keys() == ["half"]

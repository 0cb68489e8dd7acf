"""Exact key sets in their order, in both bundled profiles and over both mounts: clients compare whole bodies."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.dialects.algomancy.client import Api, Json, Session, document, fresh
from tests.dialects.algomancy.conftest import client

pytestmark = pytest.mark.integration
SCENARIO = ["id", "tag", "input_data_id", "kpis", "algorithm", "data_parameters", "status", "result"]
KPI = ["name", "better_when", "unit", "value", "threshold"]
LIST = ["sessions", "default"]
HEAD = ["name", "type", "required", "value"]
NUMBER = ["default", "min", "max"]
MORE = {
    "integer": NUMBER, "float": NUMBER, "string": ["default"], "boolean": ["default"], "enum": ["choices"],
    "multi_enum": ["choices"], "time": ["default"], "interval": ["default"],
}  # fmt: skip
WAITS = {"conformance": ("Slow", "duration", 60), "slotting": ("Long Progress", "seconds", 120)}


@pytest.fixture(params=["conformance", "slotting"])
def profile(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["", "/algomancy"], ids=["root", "prefix"])
def api(request: pytest.FixtureRequest, profile: str) -> Iterator[Api]:
    with client(request.getfixturevalue(f"{profile}_stack")) as http:
        yield Api(http, request.param)


def test_sessions(api: Api) -> None:
    listed = api.call("POST", "/sessions", 201, json={"display_name": fresh()})
    session = Session(api, listed["sessions"][-1]["id"])
    copied = session.call("POST", "/copy", 201, json={"new_display_name": fresh()})
    for found in (listed, copied, api.call("GET", "/sessions"), session.call("DELETE", "")):
        assert list(found) == LIST
        assert {tuple(one) for one in found["sessions"]} == {("id", "display_name")}
    other = Session(api, copied["sessions"][-1]["id"])
    assert list(other.call("PATCH", "", json={"display_name": fresh()})) == ["id", "display_name"]
    assert list(api.http.get("/algomancy/health").json()) == ["status", "title", "sessions"]


def test_descriptors(api: Api) -> None:
    session = api.session()
    found = session.call("GET", "/algorithms")
    assert list(found) == ["algorithms"]
    for name in found["algorithms"]:
        declared = session.call("GET", f"/algorithms/{name}/parameters")
        assert list(declared) == ["name", "parameters"]
        assert declared["name"] == name
        for descriptor in declared["parameters"]:
            assert list(descriptor) == HEAD + MORE[descriptor["type"]]


def test_data(api: Api) -> None:
    session = api.session()
    replies = [session.call("POST", "/data/from-json", 201, json=document("d"))]
    replies += [session.call("POST", "/data/d/derive", 201, json={"new_key": "e"}), session.call("GET", "/data")]
    assert [list(reply) for reply in replies] == [["keys"]] * 3
    found = session.call("GET", "/data/e")
    assert list(found) == ["metadata", "tables"]
    assert list(found["metadata"]) == ["id", "name", "type", "creation_datetime", "tables"]
    assert list(found["tables"]["items"]) == ["data", "columns", "dtypes", "index"]
    files = [("files", ("warehouse_layout.json", b"[]"))]
    assert list(session.call("POST", "/etl", 400, data={"dataset_name": "f"}, files=files)) == ["detail"]


def test_scenarios(api: Api, profile: str) -> None:
    session, (algorithm, parameter, most) = api.session(), WAITS[profile]
    session.add_data("d")
    given: Json = {parameter: most}
    made = session.create("d", algorithm, **given)
    replies: list[Json] = [made, session.run(made)]
    session.until(made, "processing")
    replies += [session.call("GET", "/processing"), session.read(made), session.call("GET", "/scenarios")[-1]]
    state = session.status(made)
    replies.append(session.call("POST", f"/scenarios/{made['id']}/cancel", 202))
    for scenario in replies:
        assert list(scenario) == SCENARIO
        assert list(scenario["kpis"]) == session.call("GET", "/kpis")["kpis"]
        assert {tuple(kpi) for kpi in scenario["kpis"].values()} == {tuple(KPI)}
        assert list(scenario["algorithm"]) == ["name", "parameters"]
    assert list(state) == ["id", "tag", "status", "progress"]
    assert list(replies[-1]["result"]) == ["error"]

"""What the documentation shows, word for word, and what its users rely on: the conformance profile."""

from __future__ import annotations

import time

import httpx
import pytest

from tests.dialects.algomancy.client import PATIENCE_S, Api, Session, fresh
from tests.dialects.algomancy.conftest import ANSWER_S, client
from trialbook_algomancy.conformance.example import conformance_files
from trialbook_deploy.stack import Stack

pytestmark = pytest.mark.integration
SENTINEL = -9999999999


def upload(session: Session, name: str, files: dict[str, bytes], expect: int = 200) -> httpx.Response:
    parts = [("files", (file, content, "application/octet-stream")) for file, content in files.items()]
    answer = session.api.http.post(
        f"{session.api.prefix}/api/v1/sessions/{session.id}/etl", data={"dataset_name": name}, files=parts
    )
    assert answer.status_code == expect, answer.text
    return answer


def test_the_polling_example(conformance_stack: Stack) -> None:
    base = f"{conformance_stack.url}/api/v1"
    session = httpx.get(f"{base}/sessions", timeout=ANSWER_S).json()["default"]
    with client(conformance_stack) as http:
        Session(Api(http, ""), session).add_data("Master data")
    tag = fresh("my-run")
    scenario = httpx.post(
        f"{base}/sessions/{session}/scenarios",
        json={"tag": tag, "dataset_key": "Master data", "algo_name": "Slow", "algo_params": {"duration": 1}},
        timeout=ANSWER_S,
    ).json()

    httpx.post(f"{base}/sessions/{session}/scenarios/{scenario['id']}/run", timeout=ANSWER_S)

    deadline = time.monotonic() + PATIENCE_S
    while True:
        status = httpx.get(f"{base}/sessions/{session}/scenarios/{scenario['id']}/status", timeout=ANSWER_S).json()
        if status["status"] in ("complete", "failed"):
            break
        assert time.monotonic() < deadline, status
        time.sleep(0.05)

    found = httpx.get(f"{base}/sessions/{session}/scenarios/{scenario['id']}", timeout=ANSWER_S).json()
    assert (status["status"], status["progress"]) == ("complete", 100.0)
    assert found["status"] == "complete"
    assert 1000 <= found["kpis"]["Delay"]["value"] < 1500
    assert found["result"]["scenario_id"] == found["input_data_id"]
    assert list(found["result"]) == ["scenario_id", "completed_at"]


def test_a_new_scenario_has_the_documented_shape(session: Session) -> None:
    session.add_data("d", id="the id of the data")
    body = {"tag": "my-run", "dataset_key": "d", "algo_name": "Slow", "algo_params": {"duration": 1}, "data_params": {}}
    made = session.call("POST", "/scenarios", 201, json=body)
    assert list(made) == [
        "id", "tag", "input_data_id", "kpis", "algorithm", "data_parameters", "status", "result"
    ]  # fmt: skip
    assert made["kpis"] == {
        "Delay": {
            "name": "Average Delay", "better_when": "AT_MOST", "unit": "s", "value": SENTINEL, "threshold": 1200,
        }
    }  # fmt: skip
    assert list(made["kpis"]["Delay"]) == ["name", "better_when", "unit", "value", "threshold"]
    assert made["algorithm"] == {"name": "Slow", "parameters": '{"name": "Slow", "parameters": {"duration": 1}}'}
    assert made | {"id": "", "kpis": {}, "algorithm": {}} == {
        "id": "", "tag": "my-run", "input_data_id": "the id of the data", "kpis": {}, "algorithm": {},
        "data_parameters": {}, "status": "created", "result": None,
    }  # fmt: skip
    assert made == session.read(made) == session.call("GET", "/scenarios")[0]
    assert session.status(made) == {"id": made["id"], "tag": "my-run", "status": "created", "progress": 0.0}
    assert session.call("GET", "/processing") is None


def test_the_descriptor_of_slow(session: Session) -> None:
    assert session.call("GET", "/algorithms") == {"algorithms": ["Slow"]}
    assert session.call("GET", "/kpis") == {"kpis": ["Delay"]}
    assert session.call("GET", "/algorithms/Slow/parameters") == {
        "name": "Slow",
        "parameters": [
            {"name": "duration", "type": "integer", "required": True, "value": 1, "default": 1, "min": 1, "max": 60}
        ],
    }
    assert session.detail("GET", "/algorithms/Fast/parameters", 404) == "Algorithm 'Fast' not found"


def test_the_five_files(session: Session) -> None:
    answer = upload(session, "Master data", conformance_files())
    assert answer.json() == {"dataset_name": "Master data", "success": True, "keys": ["Master data"]}
    found = session.call("GET", "/data/Master data")
    assert found["metadata"]["type"] == "master_data"
    assert found["metadata"]["tables"] == list(found["tables"]) == [
        "sku_data", "warehouse_layout", "employees", "inventory", "multisheet.Steden", "multisheet.Klanten"
    ]  # fmt: skip
    assert len(found["tables"]["inventory"]["data"]) == 2000
    load = session.call("GET", f"/etl/{answer.headers['X-Etl-Load']}")
    assert load["success"]
    assert load["counts"]["ERROR"] >= 1
    assert {"CONVERSION_FAILED"} <= {message["code"] for message in load["messages"]}
    assert [file["name"] for file in load["files"]] == list(conformance_files())
    assert session.call("GET", "/data/Master data/messages") == {"messages": load["messages"]}


def test_a_column_outside_the_schema_fails_the_load_and_stores_nothing(session: Session) -> None:
    files = conformance_files()
    files["warehouse_layout.csv"] = b"slotid;x;y;zone;extra\nS1;1.0;2.0;A;5\n"
    answer = upload(session, "bad", files)
    assert answer.json() == {"dataset_name": "bad", "success": False, "keys": []}
    load = session.call("GET", f"/etl/{answer.headers['X-Etl-Load']}")
    assert not load["success"]
    assert load["counts"]["CRITICAL"] == 1
    assert [m["code"] for m in load["messages"] if m["severity"] == "CRITICAL"] == ["UNEXPECTED_COLUMN"]


def test_uploads_that_are_refused(session: Session) -> None:
    files = conformance_files()
    detail = upload(session, "d", {"foo.txt": b"x"}, 400).json()["detail"]
    assert detail == "Unsupported file extension '.txt' for upload 'foo'. Supported: ['csv', 'json', 'xlsx']"
    rest = {name: content for name, content in files.items() if name != "employees.json"}
    assert upload(session, "d", rest, 400).json() == {"detail": "Missing upload for 'employees'"}
    two = upload(session, "d", {"a/sku_data.csv": b"x", "b\\sku_data.csv": b"x"}, 400).json()["detail"]
    assert "sku_data" in two
    broken = files | {"employees.json": b"[{"}
    assert "detail" in upload(session, "d", broken, 400).json()
    for name, given, missing in (("", files, "dataset_name"), ("d", {}, "files")):
        faults = upload(session, name, given, 422).json()["detail"]
        assert ["body", missing] in [fault["loc"] for fault in faults]
    assert session.keys() == []


def test_a_load_of_another_session_is_not_there(session: Session, conformance: Api) -> None:
    load = upload(session, "d", conformance_files()).headers["X-Etl-Load"]
    other = conformance.session()
    assert other.detail("GET", f"/etl/{load}", 404) == f"Load '{load}' not found"
    assert other.detail("GET", "/etl/nonsense", 404) == "Load 'nonsense' not found"


def test_the_first_session_is_the_default(conformance: Api) -> None:
    first = conformance.sessions()[0]
    assert first["display_name"] == "main"
    assert conformance.call("GET", "/sessions")["default"] == first["id"]

"""Scenarios: refusals in their order, the way of a run, and the queue of a session."""

from __future__ import annotations

import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.dialects.algomancy.client import PATIENCE_S, Api, Json, Session, fresh

pytestmark = pytest.mark.integration
SENTINEL = -9999999999


@pytest.fixture
def room(session: Session) -> Session:
    """A session with a dataset ``d``."""
    session.add_data("d")
    return session


def test_refusals_come_in_the_documented_order(room: Session) -> None:
    room.create("d", "Slow", tag="taken")
    body: Json = {"tag": "taken", "dataset_key": "none", "algo_name": "None", "algo_params": {"duration": 999}}
    refused: list[tuple[int, str, Json]] = [
        (404, "Algorithm 'None' not found", {"algo_name": "Slow"}),
        (404, "Dataset 'none' not found", {"dataset_key": "d"}),
        (409, "A scenario with tag 'taken' already exists.", {"tag": "free"}),
        (400, "Parameter 'duration' must be less than or equal to 60.", {"algo_params": {}, "data_params": {"x": 1}}),
        (400, "Parameter 'x' not found.", {"data_params": None}),
    ]
    for status, detail, change in refused:
        assert room.detail("POST", "/scenarios", status, json=body) == detail
        body |= change
    assert room.call("POST", "/scenarios", 201, json=body)["tag"] == "free"
    assert [s["tag"] for s in room.call("GET", "/scenarios")] == ["taken", "free"]


@pytest.mark.parametrize(
    ("params", "detail"),
    [
        ({"speed": 1}, "Parameter 'speed' not found."),
        ({"duration": None}, "Parameter 'duration' is required."),
        ({"duration": "1"}, "Parameter 'duration' must be an integer."),
        ({"duration": 3.0}, "Parameter 'duration' must be an integer."),
        ({"duration": True}, "Parameter 'duration' must be an integer."),
        ({"duration": 0}, "Parameter 'duration' must be greater than or equal to 1."),
        ({"duration": 61}, "Parameter 'duration' must be less than or equal to 60."),
    ],
)
def test_parameters_that_are_refused(room: Session, params: dict[str, object], detail: str) -> None:
    body = {"tag": fresh(), "dataset_key": "d", "algo_name": "Slow", "algo_params": params}
    assert room.detail("POST", "/scenarios", 400, json=body) == detail
    assert room.call("GET", "/scenarios") == []


def test_a_run_from_created_to_complete(room: Session) -> None:
    scenario = room.create("d", "Slow", duration=2)
    queued = room.run(scenario)
    assert queued["status"] in ("queued", "processing")
    seen = list(room.states(scenario))
    order = ["created", "queued", "processing", "complete"]
    positions = [order.index(state["status"]) for state in seen]
    assert positions == sorted(positions)
    progress = [state["progress"] for state in seen]
    assert progress == sorted(progress)
    assert progress[-1] == 100.0
    found = room.read(scenario)
    assert found["kpis"]["Delay"]["value"] != SENTINEL
    assert list(found["result"]) == ["scenario_id", "completed_at"]
    assert found == next(s for s in room.call("GET", "/scenarios") if s["id"] == scenario["id"])


def test_running_again_clears_at_once_and_keeps_the_rest(room: Session) -> None:
    scenario, before = room.create("d", "Slow", duration=1), room.create("d", "Slow", duration=60)
    room.run(scenario)
    first = room.ended(scenario)
    room.run(before)  # until this one is cancelled, the other waits
    again = room.run(scenario)
    assert again["status"] == "queued"
    assert again["result"] is None
    assert again["kpis"]["Delay"]["value"] == SENTINEL
    assert room.status(scenario)["progress"] < 100
    room.call("POST", f"/scenarios/{before['id']}/cancel", 202)
    for kept in ("id", "tag", "input_data_id", "algorithm"):
        assert again[kept] == first[kept]
    second = room.ended(scenario)
    assert second["result"]["completed_at"] > first["result"]["completed_at"]
    runs = room.call("GET", f"/scenarios/{scenario['id']}/runs")["runs"]
    assert [run["result"] for run in runs] == [first["result"], second["result"]]
    assert all(run["duration_s"] >= 1 for run in runs)


def test_an_active_scenario_cannot_be_run_or_reset(room: Session) -> None:
    scenario, waiting = room.create("d", "Slow", duration=30), room.create("d", "Slow")
    for each in (scenario, waiting):
        room.run(each)
    for each in (scenario, waiting):
        assert "id" not in room.run(each, 409)
        room.detail("POST", f"/scenarios/{each['id']}/reset", 409)
    room.until(scenario, "processing")
    assert room.call("GET", "/processing")["id"] == scenario["id"]
    for each in (waiting, scenario):
        room.call("DELETE", f"/scenarios/{each['id']}", 204)
    assert room.call("GET", "/processing") is None
    assert room.call("GET", "/scenarios") == []


def test_cancelling_in_the_queue_and_on_the_way(room: Session) -> None:
    one, two = room.create("d", "Slow", duration=60), room.create("d", "Slow")
    three = room.create("d", "Slow", duration=1)
    for each in (one, two, three):
        room.run(each)
    room.until(one, "processing")
    cancelled = room.call("POST", f"/scenarios/{two['id']}/cancel", 202)
    assert (cancelled["status"], cancelled["result"]) == ("failed", {"error": "Cancelled"})
    start = time.monotonic()
    cancelled = room.call("POST", f"/scenarios/{one['id']}/cancel", 202)
    assert (cancelled["status"], cancelled["result"]) == ("failed", {"error": "Cancelled"})
    assert cancelled["kpis"]["Delay"]["value"] == SENTINEL
    assert time.monotonic() - start < 60, "it was executed to its end"
    assert room.ended(three)["status"] == "complete"
    for each in (one, three):
        assert "cancel" in room.detail("POST", f"/scenarios/{each['id']}/cancel", 409).lower()
    room.run(two)
    assert room.ended(two)["status"] == "complete"


def test_reset_makes_it_as_it_was(room: Session) -> None:
    scenario = room.create("d", "Slow", duration=1)
    assert room.call("POST", f"/scenarios/{scenario['id']}/reset") == scenario
    room.run(scenario)
    room.ended(scenario)
    assert room.call("POST", f"/scenarios/{scenario['id']}/reset") == scenario
    assert room.read(scenario) == scenario
    assert room.status(scenario)["progress"] == 0.0


def test_one_queue_per_session_in_order_and_sessions_side_by_side(conformance: Api) -> None:
    rooms = [conformance.session() for _ in range(2)]
    busy = conformance.session()
    busy.add_data("d")
    long = busy.create("d", "Slow", duration=60)
    busy.run(long)
    busy.until(long, "processing")
    scenarios = {}
    for room in rooms:
        room.add_data("d")
        scenarios[room.id] = [room.create("d", "Slow", tag=f"n{n}", duration=1) for n in range(3)]
    start = time.monotonic()
    for number in (2, 0, 1):
        for room in rooms:
            room.run(scenarios[room.id][number])
    while True:
        for room in rooms:
            listed = room.call("GET", "/scenarios")
            assert sum(s["status"] == "processing" for s in listed) <= 1
        if all(s["status"] == "complete" for room in rooms for s in room.call("GET", "/scenarios")):
            break
        assert time.monotonic() - start < 50, "the sessions waited for each other"
        time.sleep(0.05)
    assert busy.status(long)["status"] == "processing"
    busy.call("POST", f"/scenarios/{long['id']}/cancel", 202)
    for room in rooms:
        finished = {s["tag"]: s["result"]["completed_at"] for s in room.call("GET", "/scenarios")}
        assert sorted(finished, key=finished.__getitem__) == ["n2", "n0", "n1"]


def test_a_replay_gives_the_same_and_stays_out_of_the_list(room: Session) -> None:
    scenario = room.create("d", "Slow", duration=1)
    room.run(scenario)
    first = room.ended(scenario)
    http, workspace = room.api.http, {"workspace": room.id.replace("-", "")}
    made = http.post(f"/v1/runs/{scenario['id']}/replay", params=workspace)
    assert made.status_code == 201, made.text
    deadline = time.monotonic() + PATIENCE_S
    while (found := http.get(f"/v1/runs/{made.json()['id']}", params=workspace | {"wait": "20"}).json())["status"] in (
        "queued", "running",
    ):  # fmt: skip
        assert time.monotonic() < deadline, found
    assert found["status"] == "completed", found["error"]
    assert found["result"]["equal"] is True, found["result"]
    assert room.call("GET", "/scenarios") == [first]


def test_a_tag_is_free_again_after_deletion(room: Session) -> None:
    scenario = room.create("d", "Slow", tag="t")
    room.call("DELETE", f"/scenarios/{scenario['id']}", 204)
    assert room.detail("GET", f"/scenarios/{scenario['id']}", 404) == f"Scenario '{scenario['id']}' not found"
    assert room.create("d", "Slow", tag="t")["id"] != scenario["id"]


def test_of_many_scenarios_with_one_tag_created_at_once_there_is_one(room: Session) -> None:
    body = {"tag": "race", "dataset_key": "d", "algo_name": "Slow"}
    path = f"/algomancy/api/v1/sessions/{room.id}/scenarios"
    with ThreadPoolExecutor(6) as pool:
        codes = list(pool.map(lambda _: room.api.http.post(path, json=body).status_code, range(6)))
    assert sorted(codes) == [201] + [409] * 5


def test_many_clients_at_once_are_all_served(conformance: Api) -> None:
    """A 409 says that something is taken or busy; that others do something too is none."""
    count = 30
    with ThreadPoolExecutor(count) as pool:
        rooms = list(pool.map(lambda _: conformance.session(), range(count)))
        room = rooms[0]
        room.add_data("d")
        derived = list(
            pool.map(lambda n: room.call("POST", "/data/d/derive", 201, json={"new_key": f"d{n}"}), range(count))
        )
        scenarios = list(pool.map(lambda _: room.create("d", "Slow", duration=60), range(count)))
        assert {s["status"] for s in pool.map(room.run, scenarios)} <= {"queued", "processing"}
        list(pool.map(lambda s: room.call("POST", f"/scenarios/{s['id']}/cancel", 202), scenarios))
    assert len({one.id for one in rooms}) == count
    assert {len(reply["keys"]) for reply in derived} <= set(range(2, count + 2))
    assert {s["status"] for s in room.call("GET", "/scenarios")} == {"failed"}


def test_what_is_no_scenario_is_not_found(room: Session) -> None:
    load = room.api.http.post(f"/algomancy/api/v1/sessions/{room.id}/data/from-json", json={"metadata": {}}).status_code
    assert load == 400
    for text in ("nonsense", str(uuid.uuid4()), "0"):
        assert room.detail("GET", f"/scenarios/{text}", 404) == f"Scenario '{text}' not found"
    runs = room.api.http.get("/v1/runs", params={"workspace": room.id.replace("-", "")}).json()["items"]
    assert runs[0]["workload"] == "algomancy-etl"
    room.detail("GET", f"/scenarios/{runs[0]['id']}", 404)


def test_the_light_list_in_pages(room: Session) -> None:
    made = [room.create("d", "Slow", tag=f"n{n}") for n in range(5)]
    first = room.call("GET", "/scenarios/summary?limit=3")
    rest = room.call("GET", f"/scenarios/summary?limit=3&cursor={first['next_cursor']}")
    assert [line["id"] for line in first["items"] + rest["items"]] == [s["id"] for s in made]
    assert rest["next_cursor"] is None
    line = first["items"][0]
    assert line == {
        "id": made[0]["id"], "tag": "n0", "input_data_key": "d", "algorithm": "Slow", "data_parameters": {},
        "status": "created", "progress": 0.0, "created_at": line["created_at"], "run_started_at": None,
        "run_finished_at": None, "result_available": False, "kpis": {"Delay": SENTINEL},
    }  # fmt: skip
    assert room.call("GET", "/scenarios/summary?status=complete")["items"] == []
    assert len(room.call("GET", "/scenarios/summary?status=created&algorithm=Slow")["items"]) == 5
    assert isinstance(room.detail("GET", "/scenarios/summary?status=nonsense", 422), list)

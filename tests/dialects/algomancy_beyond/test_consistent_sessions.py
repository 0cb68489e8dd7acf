"""While scenarios are processed, every list of a session is true as a whole."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.dialects.algomancy.client import PATIENCE_S, Session

pytestmark = pytest.mark.integration
POINTS = 12


def looked_at(session: Session) -> None:
    """All scenarios, as a list and one by one: at most one is processed, and what is complete has what it computed."""
    listed = session.call("GET", "/scenarios")
    assert sum(one["status"] == "processing" for one in listed) <= 1
    order = {"queued": 0, "processing": 1, "complete": 2}
    for one in listed:
        assert (one["result"] is None) == (one["status"] != "complete"), one
        assert all(isinstance(kpi["value"], float) for kpi in one["kpis"].values()) == (one["status"] == "complete"), (
            one
        )
        assert order[session.read(one)["status"]] >= order[one["status"]], "older than the list"


def summed_up(session: Session, sweep: dict[str, Any]) -> bool:
    """Whether the sweep says that it is finished, which agrees with its counts and rows, and with the light list."""
    found = session.call("GET", f"/sweeps/{sweep['id']}")
    statuses = [row["status"] for row in found["comparison"]["rows"]]
    assert found["counts"] == {status: statuses.count(status) for status in statuses}
    assert sum(found["counts"].values()) == POINTS
    assert found["finished"] == (found["counts"].get("complete") == POINTS)
    light = session.call("GET", "/scenarios/summary?status=complete&limit=1000")["items"]
    assert len(light) >= found["counts"].get("complete", 0), "older than the reply before"
    assert all(one["progress"] == 100.0 and one["run_finished_at"] for one in light)
    return bool(found["finished"])


def test_lists_are_true_while_scenarios_are_processed(session: Session) -> None:
    body = {"tag_prefix": "s", "dataset_key": "example_data", "algo_name": "SA Slotting", "run": True}
    grid = {"iterations": [1, 200, 400], "seed": [1, 2, 3, 4]}
    sweep = session.call("POST", "/sweeps", 201, json={**body, "grid": grid})
    deadline = time.monotonic() + PATIENCE_S
    while not summed_up(session, sweep):
        looked_at(session)
        assert time.monotonic() < deadline
    looked_at(session)


def test_what_is_changed_is_in_the_next_reply_of_every_route(session: Session) -> None:
    for number in range(5):
        key = f"copy {number}"
        assert key in session.add_data(key)
        assert key in session.keys()
        native = session.api.http.get(f"/v1/datasets?q={key}&workspace={session.id.replace('-', '')}").json()["items"]
        assert [item["data"]["name"] for item in native] == [] or key in str(native)
        made = session.create("example_data", "Greedy Slotting", tag=f"t {number}")
        assert made["id"] in [one["id"] for one in session.call("GET", "/scenarios")]
        assert made["id"] in [one["id"] for one in session.call("GET", "/scenarios/summary")["items"]]
        runs = session.api.http.get(f"/v1/runs?workspace={session.id.replace('-', '')}").json()["items"]
        assert made["id"].replace("-", "") in [run["id"] for run in runs]
        session.run(made)
        assert session.ended(made)["status"] == "complete"
        complete = session.call("GET", "/scenarios/summary?status=complete")["items"]
        assert made["id"] in [one["id"] for one in complete]
        session.call("DELETE", f"/scenarios/{made['id']}", 204)
        assert made["id"] not in [one["id"] for one in session.call("GET", "/scenarios")]
        session.call("GET", f"/scenarios/{made['id']}", 404)
        session.call("DELETE", f"/data/{key.replace(' ', '%20')}", 204)
        assert key not in session.keys()

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
    order = {status: place for place, status in enumerate(("created", "queued", "processing", "complete"))}
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
    workspace, http = session.id.replace("-", ""), session.api.http

    def listed(path: str = "") -> list[str]:
        found = session.call("GET", f"/scenarios{path}")
        return [one["id"] for one in (found["items"] if path else found)]

    for number in range(5):
        key = f"copy_{number}"
        assert session.add_data(key)[-1] == session.call("GET", "/data")["keys"][-1] == key
        assert len(http.get(f"/v1/datasets?workspace={workspace}&limit=1000").json()["items"]) == 2
        automatic = next(one for one in session.call("GET", "/scenarios") if one["tag"] == f"{key} [auto]")
        session.call("DELETE", f"/scenarios/{automatic['id']}", 204)
        session.call("DELETE", f"/data/{key}", 204)
        assert session.call("GET", "/data")["keys"] == ["example_data"]
        assert len(http.get(f"/v1/datasets?workspace={workspace}&limit=1000").json()["items"]) == 1
        made = session.create("example_data", "Greedy Slotting", tag=f"t {number}")
        assert made["id"] in listed()
        assert made["id"] in listed("/summary?limit=1000")
        runs = http.get(f"/v1/runs?workspace={workspace}&status=created").json()["items"]
        assert made["id"].replace("-", "") in [run["id"] for run in runs]
        session.run(made)
        assert session.ended(made)["status"] == "complete"
        assert made["id"] in listed("/summary?status=complete&limit=1000")
        session.call("DELETE", f"/scenarios/{made['id']}", 204)
        assert made["id"] not in listed()
        session.call("GET", f"/scenarios/{made['id']}", 404)

"""What a deployment chooses: scenarios made and run by themselves, fixed sessions, limits, short streams."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.dialects.algomancy.client import Api, Session, document
from tests.dialects.algomancy.conftest import announced, client
from tests.dialects.algomancy_beyond.events import read
from trialbook_deploy.stack import Stack

pytestmark = pytest.mark.integration
SETTINGS = {
    "TRIALBOOK_ALGOMANCY_PROFILE": str(Path(__file__).with_name("bakery.py")),
    "TRIALBOOK_ALGOMANCY_SESSION_CREATE": "off",
    "TRIALBOOK_ALGOMANCY_MAX_SCENARIOS": "6",
    "TRIALBOOK_ALGOMANCY_MAX_DATASETS": "3",
    "TRIALBOOK_ALGOMANCY_MAX_ROWS": "100",
    "TRIALBOOK_LIVE_LIFE_S": "1",
}


@pytest.fixture(scope="module")
def main(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """The only session, with its own dataset and that one's scenario."""
    stack = Stack(tmp_path_factory.mktemp("deployment") / "data", env=SETTINGS)
    asyncio.run(stack.start())
    try:
        announced(stack)
        with client(stack) as http:
            yield Session(Api(http), Api(http).sessions()[0]["id"])
    finally:
        asyncio.run(stack.stop())


def named(session: Session, tag: str) -> Any:
    """The scenario with a tag, when it is there."""
    deadline = time.monotonic() + 60
    while True:
        found = [one for one in session.call("GET", "/scenarios") if one["tag"] == tag]
        if found:
            return found[0]
        assert time.monotonic() < deadline, tag
        time.sleep(0.05)


def test_every_dataset_gets_a_scenario_that_is_run(main: Session) -> None:
    first = main.ended(named(main, "monday [auto]"))
    assert (first["status"], first["result"]["minutes"]) == ("complete", 20.0)
    assert first["algorithm"]["parameters"] == '{"name": "Bake", "parameters": {"ovens": 4}}'
    files = [("files", ("loaves.csv", b"name;minutes\nrye;10\n"))]
    assert main.call("POST", "/etl", data={"dataset_name": "tuesday"}, files=files)["success"]
    assert main.ended(named(main, "tuesday [auto]"))["result"]["minutes"] == 2.5
    main.call("POST", "/data/tuesday/derive", 201, json={"new_key": "derived"})
    assert main.ended(named(main, "derived [auto]"))["status"] == "complete"
    assert main.call("POST", "/etl", data={"dataset_name": "tuesday"}, files=files)["success"]
    assert [one["tag"] for one in main.call("GET", "/scenarios")] == [
        "monday [auto]",
        "tuesday [auto]",
        "derived [auto]",
    ]
    assert main.detail("DELETE", "/data/derived", 409) == "Cannot delete data used in scenarios."
    made = main.create("tuesday", "Bake", ovens=1)
    assert made["status"] == "queued"
    assert main.ended(made)["kpis"]["Minutes"]["value"] == 10
    main.call("DELETE", f"/scenarios/{made['id']}", 204)


def test_thresholds_are_compared(main: Session) -> None:
    made = [main.create("monday", "Bake", ovens=ovens) for ovens in (1, 2)]
    ids = [main.ended(one)["id"] for one in made]
    found = main.call("GET", "/scenarios/compare", params={"ids": ids})
    assert [row["values"]["Minutes"]["meets_threshold"] for row in found["rows"]] == [False, True]
    assert found["measures"][0]["best"] == [ids[1]]
    for id_ in ids:
        main.call("DELETE", f"/scenarios/{id_}", 204)


def test_sessions_are_fixed(main: Session) -> None:
    api, text = main.api, "Sessions of this deployment cannot be created, copied or deleted."
    assert api.detail("POST", "/sessions", 403, json={"display_name": "x"}) == text
    assert main.detail("POST", "/copy", 403, json={"new_display_name": "x"}) == text
    assert api.detail("POST", "/sessions/import", 403, content=b"") == text
    assert main.detail("DELETE", "", 403) == text
    assert main.call("PATCH", "", json={"display_name": "main"})["display_name"] == "main"


def test_a_session_holds_no_more_than_it_may(main: Session) -> None:
    held = len(main.call("GET", "/scenarios"))
    made = [main.create("monday", "Bake") for _ in range(6 - held)]
    text = "A session may have 6 scenarios; this one has 6. Delete some first."
    assert main.create("monday", "Bake", 409) == {"detail": text}
    order = {"tag_prefix": "x", "dataset_key": "monday", "algo_name": "Bake", "points": [{}]}
    assert main.detail("POST", "/sweeps", 409, json=order) == text
    main.call("DELETE", f"/scenarios/{made[0]['id']}", 204)
    made[0] = main.create("monday", "Bake")
    for one in made:
        main.call("DELETE", f"/scenarios/{one['id']}", 204)
    keys = main.keys()
    text = "A session may have 3 datasets; this one has 3. Delete some first."
    assert len(keys) == 3
    assert main.detail("POST", "/data/monday/derive", 409, json={"new_key": "x"}) == text
    assert main.detail("POST", "/data/from-json", 409, json=document("x")) == text
    rows = "A dataset may have 100 rows in all its tables; 'monday' has 101."
    assert main.detail("POST", "/data/from-json", 413, json=document("monday", 101)) == rows
    assert main.keys() == keys


def test_a_stream_that_lives_too_long_says_where_to_go_on(main: Session) -> None:
    path = f"/algomancy/api/v1/sessions/{main.id}/scenarios/events"
    events = list(read(main.api.http, path))
    assert (events[-1].kind, events[-1].data) == ("resume", {"reason": "expired"})

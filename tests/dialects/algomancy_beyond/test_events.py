"""Status and progress pushed to clients: per scenario and per session, resumed without loss."""

from __future__ import annotations

import threading
from itertools import takewhile

import httpx
import pytest

from tests.dialects.algomancy.client import Api, Session
from tests.dialects.algomancy_beyond.events import Event, read, statuses

pytestmark = pytest.mark.integration
WHOLE = ["created", "queued", "processing", "complete"]


def path(session: Session, scenario: str = "") -> str:
    room = f"/algomancy/api/v1/sessions/{session.id}/scenarios"
    return f"{room}/{scenario}/events" if scenario else f"{room}/events"


def test_a_scenario_is_followed_to_its_end(session: Session, http: httpx.Client) -> None:
    made = session.create("example_data", "Long Progress", seconds=2)
    session.run(made)
    events = list(read(http, path(session, made["id"])))
    assert statuses(events, made["tag"]) == WHOLE
    progress = [event.data["progress"] for event in events if event.kind == "progress"]
    assert progress
    assert progress == sorted(set(progress))
    assert events[-1].data == session.status(made) == {**events[-1].data, "progress": 100.0}
    assert list(events[-1].data) == ["id", "tag", "status", "progress"]


def test_a_stream_goes_on_after_the_last_event(session: Session, http: httpx.Client) -> None:
    made = session.create("example_data", "Long Progress", seconds=2)
    session.run(made)
    stream = read(http, path(session, made["id"]))
    begun = next(event for event in stream if event.data["status"] == "processing")
    stream.close()
    rest = list(read(http, path(session, made["id"]), begun.id))
    assert statuses(rest, made["tag"]) == ["complete"]
    done = http.get(path(session, made["id"]), headers={"Last-Event-ID": rest[-1].id})
    assert (done.status_code, done.content) == (204, b"")


def test_a_finished_and_a_deleted_scenario_tell_their_end(session: Session, http: httpx.Client) -> None:
    made = session.create("example_data", "Failure Modes", mode="raise_runtime")
    session.run(made)
    assert session.ended(made)["status"] == "failed"
    assert statuses(list(read(http, path(session, made["id"]))), made["tag"])[-1] == "failed"
    other = session.create("example_data", "Instant")
    events: list[Event] = []
    stream = read(http, path(session, other["id"]))
    events.append(next(stream))
    session.call("DELETE", f"/scenarios/{other['id']}", 204)
    events += stream
    assert statuses(events, other["tag"]) == ["created", "deleted"]


def test_a_session_is_followed_from_now_and_resumed(session: Session, http: httpx.Client) -> None:
    first = session.create("example_data", "Long Progress", seconds=60)
    before = session.create("example_data", "Long Progress", seconds=1)
    for one in (first, before):
        session.run(one)
    follower = threading.Event()
    found: list[Event] = []

    def follow() -> None:
        for event in read(http, path(session)):
            found.append(event)
            follower.set()
            if event.data["tag"] == "later" and event.data["status"] == "complete":
                return

    thread = threading.Thread(target=follow)
    thread.start()
    assert follower.wait(60)  # it begins with what is queued or processed
    later = session.create("example_data", "Greedy Slotting", tag="later")
    session.run(later)
    session.call("POST", f"/scenarios/{first['id']}/cancel", 202)
    thread.join(90)
    assert not thread.is_alive()
    assert statuses(found, before["tag"])[-1] == "complete"
    assert "created" not in statuses(found, before["tag"])
    assert statuses(found, "later") == WHOLE
    assert [e.data["tag"] for e in found if e.data["status"] == "complete" and e.kind == "status"] == [
        before["tag"],
        "later",
    ]
    at = next(event.id for event in found if event.data["tag"] == "later" and event.data["status"] == "queued")
    again = []
    for event in read(http, path(session), at):
        again.append(event)
        if (event.data["tag"], event.data["status"]) == ("later", "complete"):
            break
    # Its turn in the session's queue is a second fact of a queued scenario; who comes back hears of it.
    assert [s for s in statuses(again, "later") if s != "queued"] == ["processing", "complete"]


def test_only_scenarios_of_the_session_are_told(api: Api, session: Session, http: httpx.Client) -> None:
    other = api.session()
    other.add_data("d")
    stream = read(http, path(session))
    marker = session.create("example_data", "Long Progress", seconds=60)
    session.run(marker)
    first = next(stream)
    other.create("d", "Instant")
    session.call("POST", "/data/example_data/derive", 201, json={"new_key": "derived"})  # with its [auto] scenario
    tags = {event.data["tag"] for event in takewhile(lambda e: "[auto]" not in e.data["tag"], stream)}
    assert tags | {first.data["tag"]} == {marker["tag"]}
    session.call("POST", f"/scenarios/{marker['id']}/cancel", 202)


@pytest.mark.parametrize("cursor", ["x", "-1", "9" * 16, "1-2-3", "½"])
def test_what_is_no_event_id_is_refused(session: Session, cursor: str) -> None:
    made = session.create("example_data", "Instant")
    for where in ("/scenarios/events", f"/scenarios/{made['id']}/events"):
        assert session.detail("GET", where, 400, params={"cursor": cursor}) == "This is no event id of this stream."
    session.detail("GET", "/scenarios/nope/events", 404)

"""Sessions: names, order, copies, and the one that is always there."""

from __future__ import annotations

import asyncio
import time
import uuid
from urllib.parse import quote

import httpx
import pytest

from tests.dialects.algomancy.client import Api, Session, document, fresh
from tests.dialects.algomancy.conftest import ANSWER_S, announced, client, serving
from tests.dialects.algomancy.ledger import lane_facts
from trialbook.domain.run import events as e
from trialbook_deploy.stack import Stack

pytestmark = pytest.mark.integration
EXISTS = "Session '{}' already exists."


@pytest.mark.parametrize("name", ["Alice's Run #1", "a/b", " padded ", "naïve ☃", "UPPER", "x" * 500, "%41", "a?b"])
def test_any_text_with_something_in_it_is_a_name(conformance: Api, name: str) -> None:
    name += fresh("")
    session = conformance.session(name)
    assert str(uuid.UUID(session.id)) == session.id
    assert {"id": session.id, "display_name": name} in conformance.sessions()
    assert conformance.detail("POST", "/sessions", 409, json={"display_name": name}) == EXISTS.format(name)
    conformance.session(name.swapcase() + "x")
    if "/" not in name:
        assert conformance.call("GET", f"/sessions/{quote(name, safe='')}/data") == {"keys": []}


def test_blank_names_are_refused(conformance: Api) -> None:
    session = conformance.session()
    text = "Session display name must be a non-empty string."
    for blank in (" ", "\t\n"):
        assert conformance.detail("POST", "/sessions", 409, json={"display_name": blank}) == text
        assert session.detail("PATCH", "", 409, json={"display_name": blank}) == text
        assert session.detail("POST", "/copy", 409, json={"new_display_name": blank}) == text


def test_an_id_goes_before_a_name(conformance: Api) -> None:
    first = conformance.session()
    second = conformance.session(first.id)
    second.add_data("of the second")
    assert conformance.call("GET", f"/sessions/{first.id}/data") == {"keys": []}
    assert conformance.call("GET", f"/sessions/{first.id.upper()}/data") == {"keys": []}


def test_renaming_keeps_the_id_and_frees_the_name(conformance: Api) -> None:
    before, after = fresh("before"), fresh("after")
    session = conformance.session(before)
    renamed = session.call("PATCH", "", json={"display_name": after})
    assert renamed == {"id": session.id, "display_name": after}
    assert session.call("PATCH", "", json={"display_name": after}) == renamed
    assert conformance.detail("GET", f"/sessions/{before}/data", 404) == f"Session '{before}' not found"
    assert conformance.call("GET", f"/sessions/{after}/data") == {"keys": []}
    other = conformance.session(before)
    assert other.detail("PATCH", "", 409, json={"display_name": after}) == EXISTS.format(after)


def test_a_copy_has_the_data_but_no_scenarios_and_lives_its_own_life(session: Session) -> None:
    for key in ("a", "b"):
        session.add_data(key)
    session.create("a", "Slow", duration=1)
    name = fresh("copy")
    listed = session.call("POST", "/copy", 201, json={"new_display_name": name})["sessions"]
    assert listed[-1]["display_name"] == name
    copied = Session(session.api, listed[-1]["id"])
    assert copied.keys() == ["a", "b"]
    assert copied.call("GET", "/scenarios") == []
    assert copied.call("GET", "/data/a") == session.call("GET", "/data/a")
    copied.call("DELETE", "/data/a", 204)
    copied.add_data("c")
    session.add_data("b", rows=7)
    assert (session.keys(), copied.keys()) == (["a", "b"], ["b", "c"])
    assert len(copied.call("GET", "/data/b")["tables"]["items"]["data"]) == 3
    assert session.detail("POST", "/copy", 409, json={"new_display_name": name}) == EXISTS.format(name)


def test_sessions_do_not_see_each_other(conformance: Api) -> None:
    one, two = conformance.session(), conformance.session()
    for each in (one, two):
        each.add_data("same")
    first, second = (each.create("same", "Slow", tag="equal tags") for each in (one, two))
    assert first["id"] != second["id"]
    text = f"Scenario '{first['id']}' not found"
    for method, rest in (("GET", ""), ("GET", "/status"), ("POST", "/run"), ("POST", "/cancel"), ("DELETE", "")):
        assert two.detail(method, f"/scenarios/{first['id']}{rest}", 404) == text
    one.add_data("mine")
    assert two.detail("GET", "/data/mine", 404) == "Dataset 'mine' not found"
    assert one.read(first) == first


def test_deleting_a_session_ends_what_it_executes(conformance: Api, conformance_stack: Stack) -> None:
    session = conformance.session()
    session.add_data("d")
    running, waiting = (session.create("d", "Slow", duration=60) for _ in range(2))
    session.run(running)
    session.run(waiting)
    session.until(running, "processing")
    listed = session.call("DELETE", "")["sessions"]
    assert session.id not in {s["id"] for s in listed}
    session.detail("GET", "/scenarios", 404)
    deadline = time.monotonic() + 50  # they would go on for longer
    while True:
        joined, left, facts = asyncio.run(lane_facts(conformance_stack, session.id))
        if sorted(left) == sorted(joined):
            break
        assert time.monotonic() < deadline, "it is executed still"
        time.sleep(0.1)
    ended = {run for run, fact in facts if isinstance(fact, e.Cancelled)}
    assert ended == {scenario["id"].replace("-", "") for scenario in (running, waiting)}
    assert sum(isinstance(fact, e.Started) for run, fact in facts if run in ended) == 1


def test_of_many_sessions_of_one_name_created_at_once_there_is_one(conformance: Api) -> None:
    name = fresh("race")

    async def race() -> list[int]:
        async with httpx.AsyncClient(base_url=conformance.http.base_url, trust_env=False, timeout=ANSWER_S) as http:
            asked = [http.post("/api/v1/sessions", json={"display_name": name}) for _ in range(8)]
            return sorted(answer.status_code for answer in await asyncio.gather(*asked))

    assert asyncio.run(race()) == [201] + [409] * 7
    assert [s["display_name"] for s in conformance.sessions()].count(name) == 1


def test_there_is_always_a_session(tmp_path_factory: pytest.TempPathFactory) -> None:
    with serving(tmp_path_factory.mktemp("own") / "data", "conformance") as stack, client(stack) as http:
        announced(stack)
        api = Api(http)
        first = api.sessions()
        assert [s["display_name"] for s in first] == ["main"]
        api.call("POST", "/sessions/main/data/from-json", 201, json=document("d"))
        second = api.session("second")
        listed = api.call("DELETE", f"/sessions/{first[0]['id']}")
        assert listed == {"sessions": [{"id": second.id, "display_name": "second"}], "default": second.id}
        listed = api.call("DELETE", "/sessions/second")
        assert [s["display_name"] for s in listed["sessions"]] == ["main"]
        assert listed["default"] not in (first[0]["id"], second.id)
        assert api.call("GET", "/sessions/main/data") == {"keys": []}

        async def race() -> None:
            async with httpx.AsyncClient(base_url=stack.url, trust_env=False, timeout=ANSWER_S) as other:
                path = f"/api/v1/sessions/{listed['default']}"
                codes = [a.status_code for a in await asyncio.gather(*(other.delete(path) for _ in range(5)))]
                assert sorted(codes) == [200, 404, 404, 404, 404]

        asyncio.run(race())
        assert [s["display_name"] for s in api.sessions()] == ["main"]

"""Services die in the middle of a queue of scenarios; its order, its end and everything else stay."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.dialects.algomancy.client import Api, Session
from tests.dialects.algomancy.conftest import announced, client
from tests.dialects.algomancy.ledger import lane_facts
from trialbook.domain.run import events as e
from trialbook_deploy.stack import Stack

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(300)]
ENV = {"TRIALBOOK_ALGOMANCY_PROFILE": "conformance", "TRIALBOOK_LEASE_S": "2"}
COUNT = 6


class Patient:
    """Asks until it is answered."""

    def __init__(self, stack: Stack) -> None:
        self.http = httpx.Client(base_url=stack.url, trust_env=False, timeout=20)

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        deadline = time.monotonic() + 90
        while True:
            try:
                answer = self.http.request(method, path, **options)
                if answer.status_code < 500:
                    return answer
                problem = answer.text
            except httpx.HTTPError as error:
                problem = repr(error)
            assert time.monotonic() < deadline, f"{method} {path}: {problem}"
            time.sleep(0.05)


def queue_of(api: Api, count: int = COUNT) -> tuple[Session, list[Any]]:
    session = api.session()
    session.add_data("d")
    scenarios = [session.create("d", "Slow", tag=f"n{n}", duration=1) for n in range(count)]
    for scenario in scenarios:
        session.run(scenario)
    return session, scenarios


def begun(session: Session, scenario: Any) -> None:
    """Wait until its turn has come; others wait behind it."""
    next(state for state in session.states(scenario) if state["status"] not in ("created", "queued"))


def finished(session: Session, watch: Callable[[list[Any]], None], patience_s: float = 180) -> list[Any]:
    """All scenarios when none is active; ``watch`` sees every list on the way."""
    deadline = time.monotonic() + patience_s
    while True:
        listed = session.call("GET", "/scenarios")
        watch(listed)
        if all(s["status"] in ("complete", "failed") for s in listed):
            return list(listed)
        assert time.monotonic() < deadline, listed
        time.sleep(0.1)


def one_at_a_time(listed: list[Any]) -> None:
    assert sum(s["status"] == "processing" for s in listed) <= 1


def audited(stack: Stack, session: Session) -> None:
    """The ledger shows a queue: in order, one at a time, every entry let in once and ended once."""
    joined, left, facts = asyncio.run(lane_facts(stack, session.id))
    assert joined == left
    inside = ""
    for run, fact in facts:
        if isinstance(fact, e.Started):
            assert inside in ("", run), "two at a time"
            inside = run
        elif isinstance(fact, e.Completed | e.Failed | e.Cancelled) and inside == run:
            inside = ""
    entered = [run for run, fact in facts if isinstance(fact, e.Queued | e.Submitted) and not fact.held]
    verdicts = [run for run, fact in facts if isinstance(fact, e.Completed | e.Failed | e.Cancelled) and run in joined]
    assert [run for run in entered if run in joined] == joined
    assert verdicts == joined


@pytest.mark.parametrize("victim", ["runner-1", "gateway", "projector"])
def test_a_queue_survives_the_death_of_a_service(tmp_path: Path, victim: str) -> None:
    stack = Stack(tmp_path / "data", env=ENV)
    asyncio.run(stack.start())
    try:
        announced(stack)
        patient = Patient(stack)
        api = Api(patient, "")  # type: ignore[arg-type]
        session, scenarios = queue_of(api)
        begun(session, scenarios[1])
        old = stack.kill(victim)
        asyncio.run(stack.wait_replaced(victim, old, 60))
        listed = finished(session, one_at_a_time)
        assert [s["status"] for s in listed] == ["complete"] * COUNT
        ends = [s["result"]["completed_at"] for s in listed]
        assert ends == sorted(ends)
        assert session.call("GET", "/processing") is None
        audited(stack, session)
    finally:
        asyncio.run(stack.stop())


def test_everything_is_as_before_after_a_restart_of_all(tmp_path: Path) -> None:
    stack = Stack(tmp_path / "data", env=ENV)
    asyncio.run(stack.start())
    announced(stack)
    with client(stack) as http:
        api = Api(http, "")
        session, scenarios = queue_of(api, 3)
        named = api.session("kept")
        named.add_data("a")
        named.call("POST", "/data/a/derive", 201, json={"new_key": "b"})
        begun(session, scenarios[1])
        first = session.read(scenarios[0])
        before = (api.call("GET", "/sessions"), named.keys(), named.call("GET", "/data/b"), first)
    asyncio.run(stack.abandon())
    asyncio.run(stack.start())
    try:
        announced(stack)
        with client(stack) as http:
            api = Api(http, "")
            session.api = named.api = api
            after = (api.call("GET", "/sessions"), named.keys(), named.call("GET", "/data/b"))
            assert (*after, session.read(scenarios[0])) == before
            listed = finished(session, one_at_a_time)
            assert [s["status"] for s in listed] == ["complete"] * 3
            audited(stack, session)
    finally:
        asyncio.run(stack.stop())

"""The wiring of the questions: FastStream's broker in memory, then beside a real nats-server."""

from __future__ import annotations

import asyncio
import socket
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from faststream.nats import NatsBroker, TestNatsBroker

from tests.projector.support import PATIENCE_S, Ledger, Stack
from trialbook import subjects
from trialbook.domain.run import events as e
from trialbook.errors import Invalid
from trialbook.log.connect import settled
from trialbook.log.nats import connect
from trialbook.log.setup import ensure_streams
from trialbook.proofs import ALL_QUERIES
from trialbook.queries import Answer, Health, ItemList, RunActivity, RunGet, RunList, RunMetrics, Sql
from trialbook.testing.server import NatsServer
from trialbook_projector import answer
from trialbook_projector.answer import Answering
from trialbook_projector.live import Live, Tables
from trialbook_projector.questions import DIRECT, SERVED, Questions
from trialbook_projector.rebuild import Order, Report
from trialbook_projector.settings import Settings, from_environment
from trialbook_projector.tables.writer import Capacity


class Wired:
    """Subscribers on a broker in memory, and real answers from real tables."""

    def __init__(self, broker: NatsBroker, questions: Questions, live: Live) -> None:
        self.broker, self.questions, self.live = broker, questions, live
        self.replies: list[Any] = []

    async def ask(self, name: str, body: bytes, workspace: str = "main", **headers: str) -> Answer:
        self.replies.clear()
        await self.broker.publish(body, subjects.ask(workspace, name), reply_to="test.reply", headers=headers)
        (reply,) = self.replies
        return msgspec.json.decode(reply, type=Answer)


@pytest.fixture
async def wired(tmp_path: Path) -> AsyncIterator[Wired]:
    server = NatsServer(tmp_path / "nats").start()
    nc = await connect(server.url, name="test")
    await ensure_streams(nc)
    settings = Settings(data_dir=tmp_path, wait_s=1.0, capacity=Capacity(runs=1))
    settings.folder.mkdir()
    live = Live(Tables(settings.folder / "trialbook.duckdb", settings))
    broker = NatsBroker(apply_types=False)
    questions = Questions()
    broker.include_router(questions.router)

    def health() -> Any:
        raise AssertionError("health is not asked here")

    async def rebuild(order: Order) -> Report:
        return Report(facts=0, signals=0, identical=order.check, swapped=False, tables={}, seconds=0.0, facts_per_s=0.0)

    questions.open(Answering(nc, live, settings, health), rebuild)
    made = Wired(broker, questions, live)

    @broker.subscriber("test.reply", decoder=_body)
    async def reply(body: Any) -> None:
        made.replies.append(body)

    async with TestNatsBroker(broker):
        yield made
    await live.close()
    await nc.close()
    server.kill()


async def _body(message: Any) -> bytes:
    payload: bytes = message.body
    return payload


def test_every_query_is_answered_by_one_of_the_two() -> None:
    assert {*ALL_QUERIES, subjects.REBUILD, subjects.SEAL} == SERVED | DIRECT
    assert not SERVED & DIRECT
    broker = NatsBroker(apply_types=False)
    broker.include_router(Questions().router)
    patterns = [subscriber.subject.broker_address for subscriber in broker.subscribers]  # type: ignore[attr-defined]
    assert sorted(patterns) == sorted(subjects.ask("*", name) for name in SERVED)
    assert {subscriber.queue for subscriber in broker.subscribers} == {"projector"}  # type: ignore[attr-defined]


@pytest.mark.integration
async def test_the_body_is_a_typed_query_whatever_the_content_type_says(wired: Wired) -> None:
    query = msgspec.json.encode(RunList(limit=3, count=True))
    for content_type in ("", "text/plain", "application/json", "nonsense"):
        answer_ = await wired.ask("run.list", query, **{"content-type": content_type})
        assert msgspec.json.decode(answer_.result or b"") == {"items": [], "next_cursor": None, "total": 0}
    assert (await wired.ask("item.list", msgspec.json.encode(ItemList(kind="file")))).error is None


@pytest.mark.integration
@pytest.mark.parametrize(
    ("name", "body", "workspace", "code"),
    [
        ("run.list", b"{", "main", "invalid_query"),
        ("run.list", b"1", "main", "invalid_query"),
        ("run.list", b'{"limit": 0}', "main", "invalid_limit"),
        ("run.list", b'{"at_least": 7}', "main", "sequence_ahead"),
        ("sql", b'{"sql": 1}', "main", "invalid_query"),
        ("rebuild", b"{}", "main", "unknown_query"),
        ("rebuild", b'{"chek": true}', "_", "invalid_query"),
        ("health", b"{}", "main", "projector_fault"),
    ],
)
async def test_what_cannot_be_answered_is_refused(
    wired: Wired, name: str, body: bytes, workspace: str, code: str
) -> None:
    answer_ = await wired.ask(name, body, workspace)
    assert answer_.error is not None
    assert answer_.error["code"] == code
    assert answer_.result is None


@pytest.mark.integration
async def test_the_verdict_of_a_run_that_is_not_remembered_is_waited_for(wired: Wired, ledger: Ledger) -> None:
    finished = ledger.run()
    ledger.fact("run", finished, e.Started(attempt=1, runner="r"))
    ledger.fact("run", finished, e.Completed(attempt=1, signal_sequence=3))
    running = ledger.run()
    await wired.live.apply(ledger.facts, [])
    assert f"main/run/{finished}" not in wired.live.tables.caches.runs
    told = await wired.ask("run.metrics", msgspec.json.encode(RunMetrics(id=running)))
    assert msgspec.json.decode(told.result or b"")["items"] == []
    told = await wired.ask("run.metrics", msgspec.json.encode(RunMetrics(id=finished)))
    assert (told.error or {})["code"] == "sequence_ahead", "three signals are announced and none is stored"
    told = await wired.ask("run.activity", msgspec.json.encode(RunActivity(ids=["unknown", finished])))
    assert (told.error or {})["code"] == "sequence_ahead"


@pytest.mark.integration
async def test_an_order_is_typed(wired: Wired) -> None:
    for check in (True, False):
        answer_ = await wired.ask("rebuild", msgspec.json.encode(Order(check=check)), "_")
        assert msgspec.json.decode(answer_.result or b"", type=Report).identical is check


@pytest.mark.integration
async def test_too_many_questions_are_refused_and_the_rest_answered(
    wired: Wired, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answer, "MAX_OPEN", 2)
    body = msgspec.json.encode(RunList(at_least=5))
    asked = [
        asyncio.create_task(wired.broker.publish(body, subjects.ask("main", "run.list"), reply_to="test.reply"))
        for _ in range(5)
    ]
    await asyncio.gather(*asked)
    codes = [(msgspec.json.decode(reply, type=Answer).error or {})["code"] for reply in wired.replies]
    assert sorted(codes) == ["overloaded"] * 3 + ["sequence_ahead"] * 2


@pytest.mark.integration
async def test_who_wants_no_answer_costs_nothing(wired: Wired, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer, "MAX_OPEN", 0)  # whatever gets as far as answering is refused, with a reply
    await wired.broker.publish(b"{}", subjects.ask("main", "run.list"))
    assert wired.replies == []
    assert ((await wired.ask("run.list", b"{}")).error or {})["code"] == "overloaded"


@pytest.mark.integration
async def test_each_question_gets_one_answer_of_the_right_kind(stack: Stack, ledger: Ledger) -> None:
    run = ledger.run()
    facts, _ = await stack.publish(ledger)
    await stack.ready(facts)
    inbox = stack.nc.new_inbox()
    subscription = await stack.nc.subscribe(inbox)
    for name, body in (("run.list", RunList()), ("run.get", RunGet(id=run)), ("health", Health()), ("nope", Health())):
        await stack.nc.publish(subjects.ask("main", name), msgspec.json.encode(body), reply=inbox)
    got = [await subscription.next_msg(timeout=PATIENCE_S) for _ in range(4)]
    with pytest.raises(TimeoutError):
        await subscription.next_msg(timeout=0.3)
    errors = [error["code"] for m in got if (error := msgspec.json.decode(m.data, type=Answer).error)]
    assert errors == ["unknown_query"]
    payload, media_type = await stack.ask.ask_bytes("main", Sql(sql="SELECT 1", format="csv"))
    assert media_type.startswith("text/csv")
    assert payload.splitlines()[1] == b"1"


@pytest.mark.integration
async def test_what_was_asked_before_a_stop_is_answered(stack: Stack, ledger: Ledger) -> None:
    ledger.run()
    facts, _ = await stack.publish(ledger)
    await stack.ready(facts)
    asking = [
        asyncio.create_task(stack.nc.request(subjects.ask("main", "run.list"), b"{}", timeout=PATIENCE_S))
        for _ in range(200)
    ]
    await asyncio.sleep(0)
    await settled(stack.nc)
    assert await stack.service.terminate() == 0
    answers = [msgspec.json.decode(reply.data, type=Answer) for reply in await asyncio.gather(*asking)]
    assert [a.error for a in answers] == [None] * 200


@pytest.mark.integration
async def test_questions_are_counted_when_a_port_is_given(stack: Stack) -> None:
    await stack.ready()
    assert await stack.service.terminate() == 0
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    stack.service.environment |= {"TRIALBOOK_PROJECTOR_METRICS_PORT": str(port)}
    await stack.service.start()
    await stack.ready()
    for _ in range(3):
        await stack.ask.ask("main", RunList())

    def series() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as reply:
            text: str = reply.read().decode()
            return text

    lines = (await asyncio.to_thread(series)).splitlines()
    counted = [line for line in lines if line.startswith("faststream_received_messages_total{") and "run.list" in line]
    assert [line.rsplit(" ", 1)[1] for line in counted] == ["3.0"]


def test_settings_of_telemetry() -> None:
    read = from_environment({"TRIALBOOK_PROJECTOR_METRICS_PORT": "9100", "TRIALBOOK_PROJECTOR_TRACES": "console"})
    assert (read.metrics_port, read.traces) == (9100, "console")
    assert (Settings().metrics_port, Settings().traces) == (0, "")
    for bad in ({"TRIALBOOK_PROJECTOR_METRICS_PORT": "x"}, {"TRIALBOOK_PROJECTOR_TRACES": "syslog"}):
        with pytest.raises(Invalid):
            from_environment(bad)

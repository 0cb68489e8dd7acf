"""Runners beside an imported ledger: they begin with what has not ended, and execute nothing twice."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client

from tests.ledger.test_copying import empty, stream_of_facts
from tests.runner.conftest import META, Ledger, RunnerProcess
from trialbook.clock import SystemClock
from trialbook.codec import event_of, route_of
from trialbook.domain.run import RunSpec
from trialbook.domain.run import events as e
from trialbook.envelope import AggregateId
from trialbook.ids import UUIDv7Source
from trialbook.ledger.export import Exporter, Options
from trialbook.ledger.importing import Importer, checked
from trialbook.ledger.storage import LocalStorage
from trialbook.log.api import call
from trialbook.log.nats import NatsEventLog
from trialbook.log.waiting import STARTS, Waiting, start_of
from trialbook.ports import Part
from trialbook.streams import FACTS
from trialbook.testing.server import NatsServer

FINISHED, LATER = 3000, 20
POOLS = {"TRIALBOOK_RUNNER_POOLS": "default=2,inline=8,new=1"}
IDS, CLOCK = UUIDv7Source(), SystemClock()
STARTED = e.Started(attempt=1, runner="gone", isolation="inline")
COMPLETED = e.Completed(attempt=1, result=1, signal_sequence=0)
FAILED = e.Failed(attempt=1, error={"code": "exception", "detail": "no"}, signal_sequence=0)


def run_of(*facts: e.RunEvent, pool: str = "default", isolation: Any = "inline") -> Part:
    run = AggregateId("default", "run", IDS.new())
    ticket = IDS.new()
    submitted = e.Submitted(spec=RunSpec(workload="noop", pool=pool, isolation=isolation), ticket=ticket)
    whole = (submitted, *facts)
    events = [event_of(run, fact, META, IDS, CLOCK) for fact in whole]
    return Part(aggregate=run, expected=0, events=events, routes=[route_of(fact) for fact in whole])


class History:
    """Runs of all kinds; most of them have ended."""

    def __init__(self) -> None:
        queued = e.Queued(ticket=IDS.new(), reason="retry", pool="default", priority="normal")
        self.ended = [run_of(STARTED, COMPLETED) for _ in range(FINISHED)]
        self.again, self.waiting = run_of(STARTED, FAILED, queued), run_of()
        self.running = run_of(STARTED, isolation="process")
        self.elsewhere = run_of(pool="elsewhere")
        self.later = [run_of(STARTED, COMPLETED) for _ in range(LATER)]

    async def append(self, nc: Client) -> None:
        log = NatsEventLog(nc)
        await log.start()
        for start in range(0, FINISHED, 300):
            await log.append(self.ended[start : start + 300])
        await log.append([self.elsewhere, self.again, self.running, self.waiting, *self.later])
        await log.close()


@pytest.fixture
async def imported(nc: Client, server: NatsServer, tmp_path: Path) -> AsyncIterator[tuple[Ledger, str, History]]:
    """A ledger that was imported, and what is in it."""
    history = History()
    await history.append(nc)
    files = LocalStorage(tmp_path / "export")
    await Exporter(nc, server.url, None, files, Options()).run()
    async with empty(tmp_path / "nats") as (there, url):
        await Importer(there, url, files, await checked(files)).run()
        log = NatsEventLog(there)
        await log.start()
        yield Ledger(there, log), url, history
        await log.close()


@pytest.mark.integration
async def test_runners_begin_with_what_has_not_ended(imported: tuple[Ledger, str, History], tmp_path: Path) -> None:
    ledger, url, history = imported
    last = await ledger.log.last_sequence()
    runner = await RunnerProcess(url, "one", tmp_path, **POOLS).ready()
    try:
        for part, attempt in ((history.again, 2), (history.running, 2), (history.waiting, 1)):
            state = await ledger.end(part.aggregate, 60)
            assert (state.status, state.attempt) == ("completed", attempt)
        assert "attempt_lost" in await ledger.types(history.running.aggregate)
        assert await ledger.types(history.elsewhere.aggregate) == ["submitted"]
        await ledger.end(await ledger.submit("noop", pool="new"), 60)
        assert await consumed(ledger.nc, "default") < FINISHED, "with redeliveries, but not thousands"
        assert await consumed(ledger.nc, "new") >= 1
    finally:
        await runner.stop()
    runner = await RunnerProcess(url, "two", tmp_path, **POOLS).ready()  # its consumers are there already
    try:
        await ledger.end(await ledger.submit("noop"), 60)
    finally:
        await runner.stop()
    new = {m.subject.split(".")[3] for m in await stream_of_facts(ledger.nc) if m.sequence > last}
    assert not {part.aggregate.id for part in (*history.ended, *history.later)} & new
    assert {part.aggregate.id for part in (history.again, history.running, history.waiting)} <= new


async def consumed(nc: Client, pool: str) -> int:
    info = await call(nc, f"CONSUMER.INFO.{FACTS}.queue-{pool}-normal")
    return int(info["delivered"]["consumer_seq"])


def test_where_queues_begin() -> None:
    waiting = Waiting()
    waiting.take([
        (1, "fact.w.run.a.submitted.default.normal"), (2, "fact.w.run.a.started"), (3, "fact.w.run.a.completed"),
        (4, "fact.w.run.b.submitted.default.normal"), (5, "fact.w.name.x.claimed"), (6, "fact.w.run.c.created"),
        (7, "fact.w.run.c.queued.gpu.high"), (8, "fact.w.run.c.paused"), (9, "fact.w.run.d.submitted.gpu.high"),
        (10, "fact.v.run.b.submitted.default.normal"), (11, "fact.w.run.b.deleted"),
    ])  # fmt: skip
    info = {"config": {"metadata": {STARTS: waiting.starts()}}}
    found = [start_of(info, *queue) for queue in (("default", "normal"), ("gpu", "high"), ("gpu", "low"))]
    assert found == [10, 9, 12]
    waiting.take((n, f"fact.w.run.{n}.submitted.pool-{n}.normal") for n in range(12, 700))
    info = {"config": {"metadata": {STARTS: waiting.starts()}}}
    assert start_of(info, "gpu", "low") == 9
    assert start_of({"config": {}}, "gpu", "low") == 1

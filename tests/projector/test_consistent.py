"""Each answer is of one state: totals, items, positions, and what ended runs have emitted, belong together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.projector.support import T0_US, Ledger
from trialbook.domain.run import events as e
from trialbook.log.connect import connect
from trialbook.log.setup import ensure_streams
from trialbook.queries import Answer, Query, RunGet, RunList, Sql, SqlResult
from trialbook.testing.server import NatsServer
from trialbook.views import RunView
from trialbook_projector.answer import Answering
from trialbook_projector.live import Live, Tables
from trialbook_projector.settings import Settings

pytestmark = pytest.mark.integration
BEHIND_S = 60.0
COMPLETE = "SELECT status, (SELECT count(*) FROM logs), (SELECT count(*) FROM metrics) FROM runs"


class Rows(msgspec.Struct):
    """A page of runs."""

    items: list[RunView]
    total: int | None = None
    next_cursor: str | None = None


class Desk:
    """Tables that follow a ledger only as far as a test lets them, and who answers from them."""

    def __init__(self, live: Live, answering: Answering, js: Any) -> None:
        self.live, self.answering, self._js = live, answering, js
        self.ledger = Ledger()
        self._stored = [0, 0]

    async def store(self) -> None:
        """Put what the ledger has into the streams; the tables do not follow by themselves."""
        for at, messages in enumerate((self.ledger.facts, self.ledger.signals)):
            for message in messages[self._stored[at] :]:
                await self._js.publish(message.subject, message.data)
            self._stored[at] = len(messages)

    async def apply(self, facts: bool = True, signals: bool = True) -> None:
        """Let the tables follow."""
        at = self.live.watermarks.positions
        await self.live.apply(
            self.ledger.facts[at.facts :] if facts else [], self.ledger.signals[at.signals :] if signals else []
        )

    async def ask(self, query: Query) -> Answer:
        reply = await self.answering.answer("main", query)
        return msgspec.json.decode(reply.payload, type=Answer)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    server = NatsServer(tmp_path / "nats").start()
    nc = await connect(server.url, name="test")
    await ensure_streams(nc)
    settings = Settings(data_dir=tmp_path, wait_s=BEHIND_S)
    live = Live(await asyncio.to_thread(Tables, tmp_path / "tables.duckdb", settings))
    yield Desk(live, Answering(nc, live, settings, partial(pytest.fail, "nobody asks")), nc.jetstream())
    await live.close()
    await nc.close()
    server.kill()


async def ended_with_signals_on_their_way(desk: Desk) -> str:
    """A run whose verdict is in the tables, and whose 50 lines, 5 measurements and last progress are not."""
    run = desk.ledger.run()
    desk.ledger.fact("run", run, e.Started(attempt=1, runner="r"))
    desk.ledger.signal(run, "progress", [{"time": T0_US, "done": 3.0, "total": 10.0}])
    await desk.store()
    await desk.apply()
    desk.ledger.logs(run, 50)
    desk.ledger.signal(run, "metric", [{"time": T0_US + n, "name": "loss", "value": 1.0} for n in range(5)])
    last = desk.ledger.signal(run, "progress", [{"time": T0_US + 1, "done": 10.0, "total": 10.0}])
    desk.ledger.fact("run", run, e.Completed(attempt=1, result=1, signal_sequence=last))
    await desk.store()
    await desk.apply(signals=False)
    return run


async def while_it_waits(desk: Desk, query: Query) -> Answer:
    """The answer to a question that must not be answered before the signals are there."""
    asked = asyncio.create_task(desk.ask(query))
    async with asyncio.timeout(BEHIND_S):
        while not desk.live.watermarks.awaited.is_set() and not asked.done():
            await asyncio.sleep(0)
    await desk.apply()
    return await asked


async def test_sql_tells_of_no_ended_run_without_all_that_it_emitted(desk: Desk) -> None:
    await ended_with_signals_on_their_way(desk)
    answer = await while_it_waits(desk, Sql(sql=COMPLETE))
    assert msgspec.json.decode(answer.result or b"", type=SqlResult).rows == [["completed", 50, 5]]


async def test_sql_that_reads_no_signals_does_not_wait_for_them(desk: Desk) -> None:
    await ended_with_signals_on_their_way(desk)
    answer = await desk.ask(Sql(sql="SELECT status FROM runs"))
    assert msgspec.json.decode(answer.result or b"", type=SqlResult).rows == [["completed"]]


@pytest.mark.parametrize("listed", [False, True])
async def test_an_ended_run_never_shows_a_progress_from_before_its_end(desk: Desk, listed: bool) -> None:
    run = await ended_with_signals_on_their_way(desk)
    query: Query = RunList() if listed else RunGet(id=run)

    def told(answer: Answer) -> list[tuple[str, Any]]:
        body = answer.result or b""
        views = msgspec.json.decode(body, type=Rows).items if listed else [msgspec.json.decode(body, type=RunView)]
        return [(view.status, view.progress and view.progress["done"]) for view in views]

    assert told(await desk.ask(query)) == [("completed", None)]
    await desk.apply()
    assert told(await desk.ask(query)) == [("completed", 10.0)]


async def test_a_list_its_total_and_its_position_are_of_one_state(desk: Desk) -> None:
    """Each fact is a run that is created, so a state has as many of them as its position says."""
    stop = asyncio.Event()

    async def ask() -> int:
        asked = 0
        while not stop.is_set():
            answer = await desk.ask(RunList(count=True, brief=True, limit=1000))
            page = msgspec.json.decode(answer.result or b"", type=Rows)
            assert (page.total, len(page.items)) == (answer.facts, answer.facts)
            asked += 1
        return asked

    readers = [asyncio.create_task(ask()) for _ in range(3)]
    for _ in range(300):
        desk.ledger.run()
        await desk.apply()
        if any(reader.done() for reader in readers):
            break
    stop.set()
    assert min([await reader for reader in readers]) > 0

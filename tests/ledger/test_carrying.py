"""Rebuilds while signals expire: what only the live tables still have is carried over once, and counted once."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client

from tests.projector.support import Ledger
from trialbook.errors import Conflict
from trialbook.ledger.export import Exporter, Options
from trialbook.ledger.importing import Importer, checked
from trialbook.ledger.storage import LocalStorage
from trialbook.log.connect import connect
from trialbook.tasks import ended
from trialbook.testing.server import NatsServer
from trialbook_projector import rebuild
from trialbook_projector.live import Live, Tables
from trialbook_projector.pump import Pump
from trialbook_projector.rebuild import Order, Rebuilder
from trialbook_projector.segments_store import open_storage
from trialbook_projector.settings import Settings, from_environment
from trialbook_projector.tables.store import Positions, current_path

pytestmark = pytest.mark.integration
COUNTS = """
SELECT e.run, e.kind, e.count, CASE e.kind WHEN 'log' THEN (SELECT count(*) FROM book.logs AS l WHERE l.run = e.run)
    WHEN 'metric' THEN (SELECT count(*) FROM book.metrics AS m WHERE m.run = e.run) END AS rows
FROM book.emitted AS e WHERE e.kind <> 'progress' ORDER BY ALL
"""


class Projecting:
    """Tables beside a server, followed by a pump."""

    def __init__(self, nc: Client, url: str, folder: Path) -> None:
        environment = {**os.environ, "TRIALBOOK_NATS_URL": url, "TRIALBOOK_DATA_DIR": str(folder)}
        self.nc, self.ledger = nc, Ledger()
        self.settings: Settings = from_environment(environment)
        self.live = Live(Tables(current_path(self.settings.folder), self.settings))
        self.rebuilder = Rebuilder(nc, self.live, self.settings)
        storage = open_storage(self.settings.segments, environment)
        self._pump = asyncio.create_task(Pump(nc, self.live, storage).run())

    async def publish(self) -> None:
        """Publish what was made, until the tables have it."""
        last = {"FACTS": 0, "SIGNALS": 0}
        for stream, messages in (("FACTS", self.ledger.facts), ("SIGNALS", self.ledger.signals)):
            for message in messages:
                last[stream] = (await self.nc.jetstream().publish(message.subject, message.data)).seq
            messages.clear()
        await self.live.watermarks.wait(last["FACTS"], last["SIGNALS"], 60)

    async def speak(self, runs: list[str], times: int = 1) -> int:
        """A chunk of lines, a point and progress of each run; the last sequence."""
        for _ in range(times):
            for run in runs:
                self.ledger.logs(run, 10)
                self.ledger.signal(run, "metric", [{"time": 1, "name": "m", "value": 1.0}])
                self.ledger.signal(run, "progress", [{"time": 1, "done": 1.0}])
        await self.publish()
        return self.live.watermarks.positions.signals

    async def rows(self, sql: str) -> list[Any]:
        found: list[Any] = await self.live.tables.sql.run(lambda cursor: cursor.execute(sql).fetchall())
        return found

    async def counted_once(self) -> bool:
        """Whether every run's counts are those of its rows, and no row is there twice."""
        counts = await self.rows(COUNTS)
        [(total, different)] = await self.rows("SELECT count(*), count(DISTINCT cursor) FROM book.logs")
        return bool(counts) and all(count == rows for _, _, count, rows in counts) and total == different

    async def close(self) -> None:
        await ended(self._pump)
        await self.live.close()


@pytest.fixture
async def here(nc: Client, server: NatsServer, tmp_path: Path) -> AsyncIterator[Projecting]:
    made = Projecting(nc, server.url, tmp_path / "data")
    yield made
    await made.close()


def meanwhile(monkeypatch: pytest.MonkeyPatch, before: Any, after: Any) -> None:
    """Let something happen before, and something after, the process of a rebuild has built its file."""
    build = rebuild._build_apart

    async def disturbed(path: Path, settings: Settings, to: Positions) -> None:
        await before()
        await build(path, settings, to)
        await after()

    monkeypatch.setattr(rebuild, "_build_apart", disturbed)


async def nothing() -> None:
    """Nothing happens."""


async def test_signals_that_come_during_a_rebuild_are_counted_once(
    here: Projecting, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [here.ledger.run() for _ in range(3)]
    await here.speak(runs, 4)
    await here.nc.jetstream().purge_stream("SIGNALS", seq=15)

    async def more() -> None:
        await here.speak([*runs, here.ledger.run()], 2)

    meanwhile(monkeypatch, nothing, more)
    report = await here.rebuilder.rebuild(check=False)
    assert report.identical, report.tables
    assert await here.counted_once()
    await here.speak(runs)
    assert await here.counted_once()
    monkeypatch.undo()
    assert (await here.rebuilder.rebuild(check=True)).identical


async def test_signals_that_expire_during_a_rebuild_are_there_once(
    here: Projecting, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [here.ledger.run() for _ in range(3)]
    await here.speak(runs, 4)

    async def expire(sequence: int) -> None:
        await here.nc.jetstream().purge_stream("SIGNALS", seq=sequence)

    meanwhile(monkeypatch, lambda: expire(10), lambda: expire(20))
    report = await here.rebuilder.rebuild(check=False)
    assert report.identical, report.tables
    assert await here.counted_once()


async def test_signals_that_expired_before_they_were_caught_up_with_refuse_the_swap(
    here: Projecting, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [here.ledger.run() for _ in range(3)]
    await here.speak(runs, 4)

    async def overtake() -> None:
        last = await here.speak(runs, 2)
        await here.nc.jetstream().purge_stream("SIGNALS", seq=last)

    meanwhile(monkeypatch, nothing, overtake)
    for order in (Order(), Order(keep=True)):
        with pytest.raises(Conflict) as refused:
            await here.rebuilder.carry_out(order)
        assert refused.value.code == "version_too_old"
        assert await here.counted_once()
    monkeypatch.undo()
    assert (await here.rebuilder.rebuild(check=False)).identical


async def test_an_imported_ledger_counts_what_is_left_once(
    here: Projecting, server: NatsServer, tmp_path: Path
) -> None:
    runs = [here.ledger.run() for _ in range(3)]
    await here.speak(runs, 4)
    await here.nc.jetstream().purge_stream("SIGNALS", seq=15)
    files = LocalStorage(tmp_path / "export")
    await Exporter(here.nc, server.url, None, files, Options()).run()
    empty = NatsServer(tmp_path / "nats").start()
    nc = await connect(empty.url, name="test")
    try:
        await Importer(nc, empty.url, files, await checked(files)).run()
        there = Projecting(nc, empty.url, tmp_path / "other")
        await there.live.watermarks.wait(3, 36, 60)
        assert await there.counted_once()
        assert (await there.rebuilder.rebuild(check=False)).identical
        await there.speak(runs)
        assert await there.counted_once()
        assert (await there.rebuilder.rebuild(check=True)).identical
        await there.close()
    finally:
        await nc.close()
        empty.kill()

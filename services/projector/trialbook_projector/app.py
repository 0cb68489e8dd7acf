"""The projector as a FastStream application: it opens the tables, pumps, answers, and ends in order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from faststream import FastStream

from trialbook.clock import SystemClock
from trialbook.ids import UUIDv7Source
from trialbook.log.setup import ensure_streams
from trialbook.process import settle
from trialbook.queries import ProjectorHealth
from trialbook.tasks import ended
from trialbook.times import rfc3339
from trialbook.vault.keys import master_key
from trialbook.vault.ring import KeyRing
from trialbook_projector import broker
from trialbook_projector.answer import Answering
from trialbook_projector.broker import Broker
from trialbook_projector.direct import Direct
from trialbook_projector.ledger.service import Ledger
from trialbook_projector.live import Live, Tables, opener
from trialbook_projector.pump import Pump
from trialbook_projector.questions import Questions
from trialbook_projector.rebuild import Rebuilder
from trialbook_projector.renewing import Renewer
from trialbook_projector.seal import Sealer
from trialbook_projector.settings import Settings
from trialbook_projector.tables import schema
from trialbook_projector.tables.store import usable_path
from trialbook_projector.telemetry import middlewares

log = logging.getLogger(__name__)
VERSION = version("trialbook")
REPORT_S = 10.0
REPORT_LAG = 1000


class Projector:
    """The service: open tables, pump, answers. ``app`` is what runs; it connects when it is run."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._id = UUIDv7Source().new()
        self._started_at = rfc3339(SystemClock().now())
        self._broker = Broker(settings.nats_url, name="projector", middlewares=middlewares(settings))
        self._questions = Questions()
        self._broker.include_router(self._questions.router)
        self._tasks: list[asyncio.Task[None]] = []
        self.app = FastStream(
            self._broker, logger=log, lifespan=self._lifespan, after_startup=[self._begin], on_shutdown=[self._finish]
        )

    @asynccontextmanager
    async def _lifespan(self) -> AsyncIterator[None]:
        """Around everything: the connection, the tables and the pump. A pump that fails ends the application."""
        try:
            nc = await self._broker.connect()
            await ensure_streams(nc)
            path = await asyncio.to_thread(usable_path, self._settings.folder, self._settings.duckdb)
            self._keys = KeyRing(nc, master_key(self._settings.environment))
            await self._keys.start()
            self._live = Live(await asyncio.to_thread(Tables, path, self._settings, opener(self._keys)), self._keys)
            try:
                self._ledger = ledger = Ledger(nc, self._settings)
                await ledger.open(self._live.watermarks.positions.facts)
                answering = Answering(nc, self._live, self._settings, self.health, ledger)
                self._pump = Pump(nc, self._live, answering.segments.storage, ledger)
                sealer = Sealer(
                    nc, self._live, answering.segments, self._settings, must_be_intact=ledger.watch.must_be_intact
                )
                rebuilder = Rebuilder(nc, self._live, self._settings)
                renewer = Renewer(self._live, self._settings.folder, lambda: rebuilder.rebuild(check=False))
                await rebuilder.start(renewer.erased)
                self._questions.open(answering, rebuilder.carry_out, sealer.seal)
                self._direct = Direct(nc, answering)
                async with asyncio.TaskGroup() as group:
                    self._tasks = [group.create_task(self._pump.run()), group.create_task(self._report())]
                    self._tasks.append(group.create_task(sealer.schedule()))
                    self._tasks.append(group.create_task(ledger.run()))
                    self._tasks.append(group.create_task(renewer.run()))
                    try:
                        yield
                    finally:
                        await ended(*self._tasks)
                await ledger.close()
            finally:
                await self._live.close()
                log.info("stopped facts=%d signals=%d", *self._positions())
        finally:
            await self._broker.stop()

    async def _begin(self) -> None:
        """After FastStream's subscribers: the rest of the questions."""
        await self._direct.start()
        log.info("ready facts=%d signals=%d", *self._positions())

    async def _finish(self) -> None:
        """Before the connection is closed: answer what is asked, while the pump goes on; stop the pump, and sign."""
        await self._questions.finish(self._settings.wait_s)
        await self._direct.stop(self._settings.wait_s)
        await ended(*self._tasks)
        await self._ledger.finish()

    def health(self) -> ProjectorHealth:
        """The state of this projector."""
        facts, signals = self._positions()
        lag_facts, lag_signals = self._pump.lag()
        tables = self._live.tables
        return ProjectorHealth(
            id=self._id, version=VERSION, schema_version=schema.SCHEMA_VERSION, facts=facts,
            signals=signals, lag_facts=lag_facts, lag_signals=lag_signals, parked=tables.writer.parked,
            database_bytes=tables.store.size_bytes(), started_at=self._started_at,
        )  # fmt: skip

    def _positions(self) -> tuple[int, int]:
        positions = self._live.watermarks.positions
        return positions.facts, positions.signals

    async def _report(self) -> None:
        """Say so when the tables are behind."""
        while True:
            await asyncio.sleep(REPORT_S)
            facts, signals = self._pump.lag()
            if facts + signals > REPORT_LAG:
                log.warning(
                    "behind lag_facts=%d lag_signals=%d facts=%d signals=%d", facts, signals, *self._positions()
                )


async def serve(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT."""
    settle()
    if not log.isEnabledFor(logging.DEBUG):  # FastStream notes the end of each of its tasks
        logging.getLogger(broker.__name__).setLevel(logging.WARNING)
    await Projector(settings).app.run(log_level=logging.DEBUG)

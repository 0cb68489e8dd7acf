"""Put the projector together and run it until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
import signal
from importlib.metadata import version

from trialbook.clock import SystemClock
from trialbook.ids import UUIDv7Source
from trialbook.log.nats import connect
from trialbook.log.setup import ensure_streams
from trialbook.queries import ProjectorHealth
from trialbook.times import rfc3339
from trialbook_projector.answer import Answering
from trialbook_projector.live import Live, Tables
from trialbook_projector.pump import Pump
from trialbook_projector.settings import Settings
from trialbook_projector.tables import schema
from trialbook_projector.tables.store import current_path

log = logging.getLogger(__name__)
REPORT_S = 10.0
REPORT_LAG = 1000


class Projector:
    """The service: open tables, pump, answers."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._id = UUIDv7Source().new()
        self._started_at = rfc3339(SystemClock().now())

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until ``stop`` is set; then answer what is asked, finish the batch in hand and close the file."""
        nc = await connect(self._settings.nats_url, name="projector")
        try:
            await ensure_streams(nc)
            self._live = Live(await asyncio.to_thread(Tables, current_path(self._settings.folder), self._settings))
            self._pump = Pump(nc, self._live)
            answering = Answering(nc, self._live, self._settings, self.health)
            try:
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(self._pump.run()), group.create_task(self._report())]
                    await answering.start()
                    log.info("ready facts=%d signals=%d", *self._positions())
                    await stop.wait()
                    await answering.stop()
                    for task in tasks:
                        task.cancel()
            finally:
                await self._live.close()
                log.info("stopped facts=%d signals=%d", *self._positions())
        finally:
            await nc.close()

    def health(self) -> ProjectorHealth:
        """The state of this projector."""
        facts, signals = self._positions()
        lag_facts, lag_signals = self._pump.lag()
        tables = self._live.tables
        return ProjectorHealth(
            id=self._id, version=version("trialbook"), schema_version=schema.SCHEMA_VERSION, facts=facts, signals=signals,
            lag_facts=lag_facts, lag_signals=lag_signals, parked=tables.writer.parked,
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
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await Projector(settings).run(stop)

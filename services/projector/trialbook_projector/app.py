"""Put the projector together and run it until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
import signal
from importlib.metadata import version
from pathlib import Path

import msgspec
import nats.errors
from nats.aio.client import Client

from trialbook import subjects
from trialbook.clock import SystemClock
from trialbook.errors import refusal
from trialbook.ids import UUIDv7Source
from trialbook.log.nats import connect
from trialbook.log.setup import ensure_streams
from trialbook.queries import Answer, ProjectorHealth
from trialbook.times import rfc3339
from trialbook_projector.answer import Answering
from trialbook_projector.build import build
from trialbook_projector.live import Live, Tables
from trialbook_projector.pump import Pump
from trialbook_projector.queries.reading import EVERYWHERE
from trialbook_projector.rebuild import Order, Rebuilder, Report
from trialbook_projector.settings import Settings
from trialbook_projector.tables import schema
from trialbook_projector.tables.store import Positions, current_path, usable_path

log = logging.getLogger(__name__)
REPORT_S = 10.0
REPORT_LAG = 1000
REBUILD_S = 24 * 3600.0


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
            path = await asyncio.to_thread(usable_path, self._settings.folder, self._settings.duckdb)
            self._live = Live(await asyncio.to_thread(Tables, path, self._settings))
            self._pump = Pump(nc, self._live)
            rebuilder = Rebuilder(nc, self._live, self._settings)
            answering = Answering(nc, self._live, self._settings, self.health, {subjects.REBUILD: rebuilder.order})
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
            id=self._id, version=version("trialbook"), schema_version=schema.SCHEMA_VERSION, facts=facts,
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
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await Projector(settings).run(stop)


async def rebuild(settings: Settings, *, check: bool) -> tuple[bool, str]:
    """Have the running projector rebuild its tables, or do it here when none is running.

    Returns whether old and new tables are identical, and the report as JSON.
    """
    nc = await connect(settings.nats_url, name="projector-rebuild")
    try:
        try:
            reply = await nc.request(
                subjects.ask(EVERYWHERE, subjects.REBUILD), msgspec.json.encode(Order(check=check)), timeout=REBUILD_S
            )
        except nats.errors.NoRespondersError:
            report = await _rebuild_here(nc, settings, check=check)
        else:
            answer = msgspec.json.decode(reply.data, type=Answer)
            if answer.error is not None:
                error = answer.error
                raise refusal(error["kind"], error["code"], error["detail"], error.get("extra"))
            report = msgspec.json.decode(answer.result or b"null", type=Report)
        return report.identical, msgspec.json.format(msgspec.json.encode(report)).decode()
    finally:
        await nc.close()


async def _rebuild_here(nc: Client, settings: Settings, *, check: bool) -> Report:
    live = Live(await asyncio.to_thread(Tables, current_path(settings.folder), settings))
    try:
        return await Rebuilder(nc, live, settings).rebuild(check=check)
    finally:
        await live.close()


async def build_file(settings: Settings, path: str, facts: int, signals: int) -> None:
    """Build one file from the streams up to the given positions."""
    nc = await connect(settings.nats_url, name="projector-build")
    try:
        await build(nc, Path(path), settings.duckdb, Positions(facts, signals))
    finally:
        await nc.close()

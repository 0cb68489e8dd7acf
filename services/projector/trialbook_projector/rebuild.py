"""Rebuild the tables from the streams beside the live file, compare, and swap.

1. Take the positions and the hashes of the live tables in one snapshot; it keeps answering and writing.
2. A process of its own builds a new file from zero up to these positions.
3. Carry over what the streams no longer have (expired signals), hash the new tables and compare.
4. Catch up with what was written meanwhile, hold the writer for the last piece, make the new file the current one and
   swap. When the questions that still read the old file are answered it is closed and kept, to roll back to.

A file that was kept, or was built to be swapped in later, is caught up and swapped in the same way.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec
from nats.aio.client import Client

from trialbook.clock import SystemClock
from trialbook.errors import Conflict, Invalid, Unavailable
from trialbook.times import rfc3339
from trialbook_projector import build, versions
from trialbook_projector.carrying import Moment
from trialbook_projector.differing import FirstDifference, first_difference
from trialbook_projector.live import Live, Tables, opener
from trialbook_projector.segments_store import open_storage
from trialbook_projector.settings import Settings
from trialbook_projector.tables import erasure, hashes, schema
from trialbook_projector.tables.hashes import TableHash
from trialbook_projector.tables.store import Positions, make_current, next_path
from trialbook_projector.versions import Version

log = logging.getLogger(__name__)


class Order(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is asked on ``ask._.rebuild``, at most one of them.

    ``check``: the new file is compared and thrown away; ``keep``: compared and kept as a candidate; ``swap``: no build,
    the kept file of this name or number becomes the current one; ``rollback``: the one before the current one does;
    ``list``: nothing is changed.
    """

    check: bool = False
    keep: bool = False
    swap: str = ""
    rollback: bool = False
    list: bool = False


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """One table before and after."""

    live: TableHash
    rebuilt: TableHash
    equal: bool
    first: FirstDifference | None = None


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a rebuild found; ``facts_per_s`` counts the whole build. Without a build ``tables`` is empty.

    ``versions``: the files there are now, the current one first.
    """

    facts: int
    signals: int
    identical: bool
    swapped: bool
    tables: dict[str, Compared]
    seconds: float
    facts_per_s: float
    versions: list[Version] = []


def _nobody() -> None:
    """Nobody writes tables anew after an erasure."""


class Rebuilder:
    """Rebuilds the live tables, one rebuild at a time."""

    def __init__(self, nc: Client, live: Live, settings: Settings) -> None:
        self._nc, self._live, self._settings = nc, live, settings
        self._running = False
        self._erasures: Callable[[], None] = _nobody

    async def start(self, on_erased: Callable[[], None] = _nobody) -> None:
        """Remove what was left unfinished, and kept files that an erasure should have removed; before anything else.

        ``on_erased`` is called, in any thread, whenever an erasure was applied.
        """
        self._erasures = on_erased
        folder, tables = self._settings.folder, self._live.tables
        await asyncio.to_thread(versions.tidy, folder, self._settings.keep_tables)
        erased = await tables.sql.run(lambda cursor: versions.last_erasure(cursor, erasure.TYPES))
        self._erased(erased)
        self._live.on_erased = self._erased

    async def carry_out(self, order: Order) -> Report:
        """Do what is ordered. Raises ``Invalid``, ``Conflict``, ``NotFound``, ``Unavailable``."""
        if [order.check, order.keep, bool(order.swap), order.rollback, order.list].count(True) > 1:
            raise Invalid("invalid_query", "A rebuild takes one of check, keep, swap, rollback and list.")
        if order.list:
            return self._report(0.0, swapped=False)
        if self._running:
            raise Conflict("rebuild_running", "A rebuild is running already; wait for it.")
        self._running = True
        try:
            await asyncio.to_thread(versions.tidy, self._settings.folder, self._settings.keep_tables)
            if order.swap or order.rollback:
                return await self._swap_in(versions.chosen(self._settings.folder, order.swap))
            return await self._anew(check=order.check, keep=order.keep)
        finally:
            self._running = False

    async def rebuild(self, *, check: bool) -> Report:
        """Rebuild, compare and (without ``check``) swap."""
        return await self.carry_out(Order(check=check))

    async def _anew(self, *, check: bool, keep: bool) -> Report:
        path = next_path(self._settings.folder)
        try:
            return await self._rebuild(path, check, keep)
        except BaseException:
            versions.discard(path)
            raise

    async def _rebuild(self, path: Path, check: bool, keep: bool) -> Report:
        moment = Moment(self._live)
        try:
            await moment.take()
            return await self._build_and_compare(path, moment, check, keep)
        finally:
            moment.close()

    async def _build_and_compare(self, path: Path, moment: Moment, check: bool, keep: bool) -> Report:
        started, positions = time.monotonic(), moment.positions
        await _build_apart(path, self._settings, positions)
        seconds = time.monotonic() - started
        log.info(
            "rebuilt file=%s facts=%d signals=%d seconds=%.3f", path.name, positions.facts, positions.signals, seconds
        )
        tables = await asyncio.to_thread(Tables, path, self._settings, opener(self._live.keys))
        try:
            first = await build.first_signal(self._nc)
            if first > 1:
                await moment.carry_over(tables.store, first)
            moment.close()
            after = await asyncio.to_thread(hashes.of_tables, tables.store.writer)
            compared = await self._compared(tables, moment.hashes, after, positions)
            if keep:
                await self._put_aside(tables)
            elif not check:
                await self._swap(tables)
        except BaseException:
            await tables.close(checkpoint=False)
            raise
        if check:
            await tables.close(checkpoint=False)
            versions.discard(path)
        return self._report(seconds, swapped=not check and not keep, positions=positions, compared=compared)

    async def _compared(
        self, tables: Tables, before: dict[str, TableHash], after: dict[str, TableHash], positions: Positions
    ) -> dict[str, Compared]:
        found = {}
        for name, live in before.items():
            first = None
            if live != after[name]:
                compare = partial(first_difference, rebuilt=tables.store.writer, table=name, positions=positions)
                first = await self._live.tables.sql.run(compare)
            found[name] = Compared(live=live, rebuilt=after[name], equal=live == after[name], first=first)
        return found

    def _report(
        self, seconds: float, *, swapped: bool, positions: Positions | None = None,
        compared: dict[str, Compared] | None = None,
    ) -> Report:  # fmt: skip
        at = positions or self._live.watermarks.positions
        current, now = self._live.tables.store, self._live.watermarks.positions
        version = Version(
            file=current.path.name, kind="current", schema_version=schema.SCHEMA_VERSION, facts=now.facts,
            signals=now.signals, bytes=current.size_bytes(), kept_at=None,
        )  # fmt: skip
        tables = compared or {}
        return Report(
            facts=at.facts, signals=at.signals, identical=all(c.equal for c in tables.values()), swapped=swapped,
            tables=tables, seconds=round(seconds, 3),
            facts_per_s=round(at.facts / seconds, 1) if compared else 0.0,
            versions=[version, *versions.kept(self._settings.folder)],
        )  # fmt: skip

    async def _swap_in(self, path: Path) -> Report:
        """Let a kept file be the current one once it has caught up. Raises ``Conflict`` (``version_too_old``)."""
        started = time.monotonic()
        kept = next(version for version in versions.kept(self._settings.folder) if version.file == path.name)
        await self._must_be_there(path, kept.signals)
        versions.forget(path)  # from here on it is written to; broken off, it is removed
        tables = await asyncio.to_thread(Tables, path, self._settings, opener(self._live.keys))
        try:
            await self._swap(tables)
        except BaseException:
            await tables.close(checkpoint=True)
            positions = tables.writer.positions
            versions.describe(path, kept.kind, positions, kept.kept_at or self._now())
            raise
        return self._report(time.monotonic() - started, swapped=True)

    async def _must_be_there(self, path: Path, signals: int) -> None:
        """Raises ``Conflict`` when signals after this one, which the live tables have, have expired."""
        if signals + 1 < await build.first_signal(self._nc) and signals < self._live.watermarks.positions.signals:
            raise Conflict(
                "version_too_old",
                f"{path.name} ends at signal {signals}, and what follows it has expired from the stream; rebuild.",
            )

    async def _catch_up(self, tables: Tables) -> None:
        """Bring new tables to where the live ones are. Raises ``Conflict`` (``version_too_old``)."""
        storage = open_storage(self._settings.segments, self._settings.environment)
        before, to = tables.writer.positions.signals, self._live.watermarks.positions
        await build.catch_up(self._nc, tables.writer, to, self._live.keys, storage)
        if before < to.signals:  # afterwards: they may have expired while they were read
            await self._must_be_there(tables.store.path, before)

    async def _put_aside(self, tables: Tables) -> None:
        """Keep new tables as a candidate, which knows every erasure that the live tables know."""
        await self._catch_up(tables)
        async with self._live.writing:
            await self._catch_up(tables)
            positions = tables.writer.positions
            await tables.close(checkpoint=True)
            versions.describe(tables.store.path, "candidate", positions, self._now())
        versions.tidy(self._settings.folder, self._settings.keep_tables)

    def _erased(self, sequence: int) -> None:
        """A data subject was erased: no kept file may go on holding what is theirs."""
        if sequence and (gone := versions.discard_older(self._settings.folder, sequence)):
            log.info("removed kept tables because of the erasure at %d: %s", sequence, ", ".join(gone))
        self._erasures()

    def _now(self) -> str:
        return rfc3339(SystemClock().now())

    async def _swap(self, tables: Tables) -> None:
        await self._catch_up(tables)
        async with self._live.writing:
            held = time.monotonic()
            await self._catch_up(tables)
            old_positions = self._live.watermarks.positions
            make_current(tables.store.path)
            old = self._live.replace(tables)
            log.info("swapped file=%s writer_held_ms=%.0f", tables.store.path.name, (time.monotonic() - held) * 1000)
        keep = self._settings.keep_tables
        await old.close(checkpoint=keep > 0)
        if not keep:
            versions.discard(old.store.path)
            return
        versions.describe(old.store.path, "previous", old_positions, self._now())
        versions.tidy(self._settings.folder, keep)


async def _build_apart(path: Path, settings: Settings, to: Positions) -> None:
    """Build in a process of its own, so that answering goes on undisturbed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "trialbook_projector", "build", str(path), str(to.facts), str(to.signals),
        stderr=asyncio.subprocess.PIPE,
        env={**settings.environment},
    )  # fmt: skip
    try:
        _, errors = await process.communicate()
    except BaseException:
        process.kill()
        await process.wait()
        raise
    if process.returncode:
        tail = errors.decode(errors="replace").strip()[-500:]
        raise Unavailable("rebuild_failed", f"The build ended with code {process.returncode}: {tail}")

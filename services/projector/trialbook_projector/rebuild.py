"""Rebuild the tables from the streams beside the live file, compare, and swap.

1. Take the positions and the hashes of the live tables in one snapshot; it keeps answering and writing.
2. A process of its own builds a new file from zero up to these positions.
3. Carry over what the streams no longer have (expired signals), hash the new tables and compare.
4. Catch up with what was written meanwhile, hold the writer for the last piece, make the new file the current one,
   swap, and delete the old file when the questions that still read it are answered.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from nats.aio.client import Client

from trialbook.errors import Conflict, Unavailable
from trialbook_projector import build
from trialbook_projector.live import Live, Tables, opener
from trialbook_projector.segments_store import open_storage
from trialbook_projector.settings import Settings
from trialbook_projector.tables import hashes, schema
from trialbook_projector.tables.hashes import TableHash
from trialbook_projector.tables.store import Positions, Store, make_current, next_path, remove

CARRIED = {"logs": "cursor", "metrics": "cursor", "records": "cursor"}
log = logging.getLogger(__name__)


class Order(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is asked on ``ask._.rebuild``; with ``check`` the new file is compared and thrown away."""

    check: bool = False


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """One table before and after."""

    live: TableHash
    rebuilt: TableHash
    equal: bool


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a rebuild found; ``facts_per_s`` counts the whole build."""

    facts: int
    signals: int
    identical: bool
    swapped: bool
    tables: dict[str, Compared]
    seconds: float
    facts_per_s: float


class Rebuilder:
    """Rebuilds the live tables, one rebuild at a time."""

    def __init__(self, nc: Client, live: Live, settings: Settings) -> None:
        self._nc, self._live, self._settings = nc, live, settings
        self._running = False

    async def rebuild(self, *, check: bool) -> Report:
        """Rebuild, compare and (without ``check``) swap."""
        if self._running:
            raise Conflict("rebuild_running", "A rebuild is running already; wait for it.")
        self._running = True
        path = next_path(self._settings.folder)
        try:
            return await self._rebuild(path, check)
        except BaseException:
            remove(path)
            raise
        finally:
            self._running = False

    async def _rebuild(self, path: Path, check: bool) -> Report:
        started = time.monotonic()
        positions, before = await self._live.tables.sql.run(_snapshot)
        await _build_apart(path, self._settings, positions)
        seconds = time.monotonic() - started
        log.info(
            "rebuilt file=%s facts=%d signals=%d seconds=%.3f", path.name, positions.facts, positions.signals, seconds
        )
        tables = await asyncio.to_thread(Tables, path, self._settings, opener(self._live.keys))
        try:
            first = await build.first_signal(self._nc)
            if first > 1:
                await self._carry_over(tables.store, first)
            after = await asyncio.to_thread(hashes.of_tables, tables.store.writer)
            if not check:
                await self._swap(tables)
        except BaseException:
            await tables.close(checkpoint=False)
            raise
        if check:
            await tables.close(checkpoint=False)
            remove(path)
        compared = {
            name: Compared(live=before[name], rebuilt=after[name], equal=before[name] == after[name]) for name in before
        }
        return Report(
            facts=positions.facts, signals=positions.signals, identical=all(c.equal for c in compared.values()),
            swapped=not check, tables=compared, seconds=round(seconds, 3),
            facts_per_s=round(positions.facts / seconds, 1),
        )  # fmt: skip

    async def _carry_over(self, new: Store, first: int) -> None:
        """Copy rows of signals before ``first``, which only the live tables still have."""
        bound = first << 16
        at = f"workspace || '/' || run || '/' || attempt || '/' || kind || '/' || name"  # noqa: F541
        queries = {table: f"SELECT * FROM book.{table} WHERE cursor < {bound}" for table in CARRIED}  # noqa: S608 -- our own names and numbers
        queries["emitted"] = f"SELECT * FROM book.emitted WHERE first_cursor < {bound}"  # noqa: S608 -- numbers
        queries["parked"] = f"SELECT * FROM book.parked WHERE stream = 'SIGNALS' AND sequence < {first}"  # noqa: S608 -- our own names and numbers
        new.writer.begin()
        for table, sql in queries.items():
            rows = await self._live.tables.sql.run(partial(_arrow, sql))
            new.writer.register("batch", rows)
            if table == "emitted":
                new.writer.execute(f"DELETE FROM book.emitted WHERE {at} IN (SELECT {at} FROM batch)")  # noqa: S608 -- our own names and numbers
            new.writer.execute(f"INSERT INTO book.{table} SELECT * FROM batch")  # noqa: S608 -- our own names
            new.writer.unregister("batch")
        new.writer.commit()

    async def _swap(self, tables: Tables) -> None:
        storage = open_storage(self._settings.segments, self._settings.environment)
        await build.catch_up(self._nc, tables.writer, self._live.watermarks.positions, self._live.keys, storage)
        async with self._live.writing:
            held = time.monotonic()
            await build.catch_up(self._nc, tables.writer, self._live.watermarks.positions, self._live.keys, storage)
            make_current(tables.store.path)
            old = self._live.replace(tables)
            log.info("swapped file=%s writer_held_ms=%.0f", tables.store.path.name, (time.monotonic() - held) * 1000)
        await old.close(checkpoint=False)
        remove(old.store.path)


def _snapshot(cursor: Any) -> tuple[Positions, dict[str, TableHash]]:
    """Positions and hashes of one moment."""
    cursor.execute("BEGIN TRANSACTION")
    try:
        rows = dict(cursor.execute("SELECT stream, position FROM book.positions").fetchall())
        found = {table: hashes.of_table(cursor, table) for table in schema.HASHED}
    finally:
        cursor.execute("COMMIT")
    return Positions(rows["FACTS"], rows["SIGNALS"]), found


def _arrow(sql: str, cursor: Any) -> Any:
    return cursor.sql(sql).to_arrow_table()


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

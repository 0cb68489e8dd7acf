"""Between the marketplace library and the run's context: rows out, time and ids in, the history as bytes."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from typing import Any

import msgspec

from trialbook import Context
from trialbook.clock import SystemClock
from trialbook.errors import Invalid
from trialbook.ids import derived_id
from trialbook_marketplace.rows import History, Row
from trialbook_runner.workloads.shortened import shortened

HISTORY = "history.ndjson.gz"
"""One JSON object per line: ``kind`` (agent, action or log) beside the row's members, each kind in index order."""


class Recorder:
    """A sink that emits every row as a signal and keeps it for export and analysis."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self.history = History()

    def agent(self, row: Row) -> None:
        """Emit as a row of the table ``agent``."""
        self.history.agent(row)
        self._emit("agent", row)

    def action(self, row: Row) -> None:
        """Emit as a row of the table ``action``."""
        self.history.action(row)
        self._emit("action", row)

    def log(self, row: Row) -> None:
        """Emit as a log line; the logger is the agent's id or ``marketplace_experiment``."""
        self.history.log(row)
        entry = row["data"]
        level, logger = entry["level"], entry["name"]
        with_data = partial(self._ctx.log, entry["message"], level=level, logger=logger)
        _fitting(lambda data: with_data(data=data), entry["data"])

    def _emit(self, table: str, row: Row) -> None:
        _fitting(lambda data: self._ctx.row(table, row["index"], data, row_id=row["id"]), row["data"])


def _fitting(emit: Callable[[Any], None], data: Any) -> None:
    """Emit the data, shortened when it is too large for a signal."""
    try:
        emit(data)
    except Invalid as refused:
        if refused.code != "record_too_large":
            raise
        emit(shortened(data))


class ContextClock(SystemClock):
    """The context's time for the library."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx

    def now(self) -> datetime:
        """Current UTC time."""
        return self._ctx.now()


class ContextIds:
    """Ids for the library: the same in every attempt and in a replay, where ``run`` is the original."""

    def __init__(self, run: str) -> None:
        self._run = run
        self._last = 0

    def new(self) -> str:
        """The next id."""
        self._last += 1
        return derived_id(self._run, "marketplace", str(self._last))


class ContextControl:
    """The runner's hand on the experiment."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx

    def cancelled(self) -> bool:
        """Whether the run was cancelled."""
        return self._ctx.cancelled

    async def checkpoint(self) -> None:
        """Let other agents go on."""
        await asyncio.sleep(0)

    def progress(self, finished: int, total: int) -> None:
        """Customers that have stopped."""
        self._ctx.progress(finished, total, unit="customers")


def pack(history: History) -> bytes:
    """The complete history, compressed; the same history gives the same bytes."""
    return gzip.compress(b"".join(_lines(history)), compresslevel=6, mtime=0)


def _lines(history: History) -> Iterator[bytes]:
    encode = msgspec.json.Encoder().encode
    for kind, rows in (("agent", history.agents), ("action", history.actions), ("log", history.logs)):
        for row in rows:
            yield encode({"kind": kind, **row}) + b"\n"

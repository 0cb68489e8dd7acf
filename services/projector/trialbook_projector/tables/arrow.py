"""Rows as Arrow tables, column by column: the quickest way into DuckDB."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import pyarrow as pa

from trialbook.domain.run import RunState
from trialbook_projector.tables.cache import Emitted, ItemEntry, RunEntry
from trialbook_projector.tables.facts import FactRow
from trialbook_projector.tables.message import Parked
from trialbook_projector.tables.signals import Chunk

TEXT, INT, LONG, BOOL = pa.string(), pa.int32(), pa.int64(), pa.bool_()
TIME = pa.timestamp("us")
LABELS = pa.map_(pa.string(), pa.string())
UNFIT = (pa.ArrowException, UnicodeError, OverflowError)
"""What a value that no column can hold may raise."""
_encode = msgspec.json.Encoder().encode


def _table(columns: dict[str, tuple[Any, Iterable[Any]]]) -> Any:
    return pa.table({name: pa.array(values, type_) for name, (type_, values) in columns.items()})


def _raw(values: Iterable[msgspec.Raw | None]) -> list[bytes | None]:
    return [None if v is None else bytes(v) for v in values]


def facts(rows: Sequence[FactRow]) -> Any:
    """Rows of ``book.facts``; the time is still text."""
    events = [r.event for r in rows]
    return _table({
        "sequence": (LONG, [r.message.sequence for r in rows]),
        "workspace": (TEXT, [r.workspace for r in rows]),
        "kind": (TEXT, [r.kind for r in rows]),
        "aggregate": (TEXT, [r.aggregate for r in rows]),
        "type": (TEXT, [e.type for e in events]),
        "id": (TEXT, [e.id for e in events]),
        "time": (TEXT, [e.time for e in events]),
        "actor": (TEXT, [e.actor for e in events]),
        "correlation": (TEXT, [e.correlationid for e in events]),
        "causation": (TEXT, [e.causationid for e in events]),
        "source": (TEXT, [e.source for e in events]),
        "traceparent": (TEXT, [e.traceparent for e in events]),
        "datakey": (TEXT, [e.datakey for e in events]),
        "data": (TEXT, [bytes(e.data) for e in events]),
    })  # fmt: skip


def runs(entries: Sequence[RunEntry]) -> Any:
    """Rows of ``book.runs``; times are still text, which DuckDB converts quicker."""
    states: list[RunState] = [e.state for e in entries]
    specs = [s.order for s in states]
    return _table({
        "created": (LONG, [e.created for e in entries]),
        "workspace": (TEXT, [e.workspace for e in entries]),
        "id": (TEXT, [e.id for e in entries]),
        "name": (TEXT, [s.name for s in specs]),
        "title": (TEXT, [s.title for s in specs]),
        "workload": (TEXT, [s.workload for s in specs]),
        "dialect": (TEXT, [s.dialect for s in specs]),
        "parent": (TEXT, [s.parent for s in specs]),
        "pool": (TEXT, [s.pool for s in specs]),
        "priority": (TEXT, [s.priority for s in specs]),
        "labels": (LABELS, [list(s.labels.items()) for s in specs]),
        "created_at": (TEXT, [s.created_at or None for s in states]),
        "status": (TEXT, [s.status for s in states]),
        "attempt": (INT, [s.attempt for s in states]),
        "runner": (TEXT, [s.runner or None for s in states]),
        "queued_at": (TEXT, [s.queued_at or None for s in states]),
        "started_at": (TEXT, [s.first_started_at or None for s in states]),
        "finished_at": (TEXT, [s.finished_at or None for s in states]),
        "deleted": (BOOL, [s.deleted for s in states]),
        "terminal": (BOOL, [s.terminal for s in states]),
        "signal_sequence": (LONG, [s.signal_sequence for s in states]),
        "sequence": (LONG, [e.sequence for e in entries]),
        "state": (TEXT, [_encode(s) for s in states]),
    })  # fmt: skip


def items(entries: Sequence[ItemEntry]) -> Any:
    """Rows of ``book.items``; a workspace's name is its title."""
    return _table({
        "created": (LONG, [e.created for e in entries]),
        "kind": (TEXT, [e.kind for e in entries]),
        "workspace": (TEXT, [e.workspace for e in entries]),
        "id": (TEXT, [e.id for e in entries]),
        "name": (TEXT, [e.state.title if e.kind == "workspace" else e.state.name for e in entries]),
        "created_at": (TEXT, [e.created_at for e in entries]),
        "deleted": (BOOL, [e.state.deleted for e in entries]),
        "sequence": (LONG, [e.sequence for e in entries]),
        "data": (TEXT, [_encode(e.state) for e in entries]),
    })  # fmt: skip


def _spread(chunks: Sequence[Chunk]) -> dict[str, tuple[Any, Iterable[Any]]]:
    """Columns that all records of a chunk share, and the cursors."""
    sizes = [len(c.records) for c in chunks]
    index = pa.array([i for i, size in enumerate(sizes) for _ in range(size)], INT)

    def shared(type_: Any, values: Iterable[Any]) -> Any:
        return pa.DictionaryArray.from_arrays(index, pa.array(values, type_))

    return {
        "workspace": (None, shared(TEXT, [c.workspace for c in chunks])),
        "run": (None, shared(TEXT, [c.run for c in chunks])),
        "cursor": (LONG, [c.sequence << 16 | i for c, size in zip(chunks, sizes, strict=True) for i in range(size)]),
        "attempt": (INT, [c.attempt for c, size in zip(chunks, sizes, strict=True) for _ in range(size)]),
    }


def logs(chunks: Sequence[Chunk]) -> Any:
    """Rows of ``book.logs``."""
    records = [r for c in chunks for r in c.records]
    return _table({
        **_spread(chunks),
        "time": (TIME, [r.time for r in records]),
        "level": (TEXT, [r.level for r in records]),
        "message": (TEXT, [r.message for r in records]),
        "logger": (TEXT, [r.logger for r in records]),
        "step": (TEXT, [r.step for r in records]),
        "data": (TEXT, _raw([r.data for r in records])),
    })  # fmt: skip


def metrics(chunks: Sequence[Chunk]) -> Any:
    """Rows of ``book.metrics``."""
    records = [r for c in chunks for r in c.records]
    return _table({
        **_spread(chunks),
        "time": (TIME, [r.time for r in records]),
        "name": (TEXT, [r.name for r in records]),
        "value": (pa.float64(), [r.value for r in records]),
        "index": (LONG, [r.index for r in records]),
        "unit": (TEXT, [r.unit for r in records]),
        "step": (TEXT, [r.step for r in records]),
    })  # fmt: skip


def rows(chunks: Sequence[Chunk]) -> Any:
    """Rows of ``book.records``."""
    records = [r for c in chunks for r in c.records]
    return _table({
        **_spread(chunks),
        "time": (TIME, [r.time for r in records]),
        "kind": (TEXT, [r.kind for r in records]),
        "index": (LONG, [r.index for r in records]),
        "id": (TEXT, [r.id for r in records]),
        "data": (TEXT, _raw([r.data for r in records])),
    })  # fmt: skip


def emitted(entries: Sequence[Emitted]) -> Any:
    """Rows of ``book.emitted``."""
    return _table({
        "first_cursor": (LONG, [e.first_cursor for e in entries]),
        "workspace": (TEXT, [e.workspace for e in entries]),
        "run": (TEXT, [e.run for e in entries]),
        "attempt": (INT, [e.attempt for e in entries]),
        "kind": (TEXT, [e.kind for e in entries]),
        "name": (TEXT, [e.name for e in entries]),
        "count": (LONG, [e.count for e in entries]),
        "last_cursor": (LONG, [e.last_cursor for e in entries]),
        "first_time": (TIME, [e.first_time for e in entries]),
        "last_time": (TIME, [e.last_time for e in entries]),
        "latest": (TEXT, [e.latest for e in entries]),
    })  # fmt: skip


def parked(entries: Sequence[Parked]) -> Any:
    """Rows of ``book.parked``."""
    return _table({
        "stream": (TEXT, [p.stream for p in entries]),
        "sequence": (LONG, [p.message.sequence for p in entries]),
        "subject": (TEXT, [p.message.subject for p in entries]),
        "reason": (TEXT, [p.reason for p in entries]),
        "stored_at": (TIME, [p.message.time_ns // 1000 for p in entries]),
        "data": (pa.binary(), [p.message.data for p in entries]),
    })  # fmt: skip

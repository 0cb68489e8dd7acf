"""Signals become rows: the records of each chunk, and per run what it has emitted so far."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from trialbook.codec import UnknownEvent
from trialbook.signals import MAX_RECORDS, SIGNAL_TYPES, Progress
from trialbook.streams import SIGNALS
from trialbook_projector.tables.cache import Emitted, Lru
from trialbook_projector.tables.message import UNREADABLE, Message, Parked, parked
from trialbook_projector.times import text_of

KINDS = {type_.split(".")[1]: type_ for type_ in SIGNAL_TYPES}
TIME_LIMIT_US = 253_402_300_800_000_000  # the year 10000: what text and tables can hold

FindEmitted = Callable[[Sequence[str]], Iterable[Emitted]]


class _Envelope(msgspec.Struct, frozen=True):
    type: str
    subject: str
    data: msgspec.Raw


_decode = msgspec.json.Decoder(_Envelope).decode
_DATA = {type_: msgspec.json.Decoder(cls).decode for type_, cls in SIGNAL_TYPES.items()}


class Chunk(msgspec.Struct, frozen=True):
    """The records of one message."""

    sequence: int
    workspace: str
    run: str
    kind: str
    attempt: int
    records: list[Any]


class SignalBatch:
    """A batch of signals, read and counted. Nothing outside it is changed."""

    def __init__(self, emitted: Lru[Emitted], find: FindEmitted) -> None:
        self._cache, self._find = emitted, find
        self.chunks: dict[str, list[Chunk]] = {kind: [] for kind in KINDS}
        self.emitted: dict[str, Emitted] = {}
        self.new: set[str] = set()
        """Keys of ``emitted`` that have no row yet."""
        self.parked: list[Parked] = []

    def fold(self, messages: Sequence[Message]) -> None:
        """Read messages in order; unreadable ones are put aside."""
        read = []
        for message in messages:
            try:
                read.append(read_chunk(message))
            except UNREADABLE as error:
                self.parked.append(parked(SIGNALS, message, error))
        known = self._load(read)
        for chunk in read:
            if chunk.records:
                self.chunks[chunk.kind].append(chunk)
                self._count(chunk, known)

    def _load(self, read: Iterable[Chunk]) -> dict[str, Emitted]:
        if self._cache.complete:
            return {}
        runs = {c.run: None for c in read for name in names_of(c) if emitted_key(c, name) not in self._cache}
        return {key_of(e): e for e in self._find(list(runs))} if runs else {}

    def _count(self, chunk: Chunk, known: dict[str, Emitted]) -> None:
        if chunk.kind == "record":
            for name in names_of(chunk):
                indexed = [(i, r) for i, r in enumerate(chunk.records) if r.kind == name]
                self._add(chunk, name, indexed, known)
        else:
            records = chunk.records
            self._add(chunk, "", [(0, records[0]), (len(records) - 1, records[-1])], known, len(records))

    def _add(
        self, chunk: Chunk, name: str, ends: list[tuple[int, Any]], known: dict[str, Emitted], count: int | None = None
    ) -> None:
        """Count records of which the first and the last are given with their index."""
        key = emitted_key(chunk, name)
        before = self.emitted.get(key) or self._cache.get(key) or known.get(key)
        (first_index, first), (last_index, last) = ends[0], ends[-1]
        first_cursor = chunk.sequence << 16 | first_index
        if before is None:
            self.new.add(key)
        self.emitted[key] = Emitted(
            first_cursor=before.first_cursor if before else first_cursor,
            workspace=chunk.workspace, run=chunk.run, attempt=chunk.attempt, kind=chunk.kind, name=name,
            count=(before.count if before else 0) + (len(ends) if count is None else count),
            last_cursor=chunk.sequence << 16 | last_index,
            first_time=before.first_time if before else first.time,
            last_time=last.time,
            latest=progress_json(last) if chunk.kind == "progress" else None,
        )  # fmt: skip


def read_chunk(message: Message) -> Chunk:
    """Decode one message. Raises what is in ``UNREADABLE``."""
    prefix, workspace, what, run, kind = message.subject.split(".")
    envelope = _decode(message.data)
    if prefix != "signal" or what != "run" or KINDS.get(kind) != envelope.type:
        raise UnknownEvent(f"{envelope.type!r} on {message.subject!r} is no signal of a run")
    if envelope.subject != f"{workspace}/run/{run}":
        raise UnknownEvent(f"the envelope's subject {envelope.subject!r} is not that of the message")
    data = _DATA[envelope.type](envelope.data)
    records = data.records
    if len(records) > MAX_RECORDS:
        raise UnknownEvent(f"{len(records)} records in one message")
    if records and not all(0 <= r.time < TIME_LIMIT_US for r in records):
        raise UnknownEvent("a time outside of 1970 to 9999")
    return Chunk(message.sequence, workspace, run, kind, data.attempt, records)


def names_of(chunk: Chunk) -> Iterable[str]:
    """Table names of records; one empty name for other kinds."""
    return dict.fromkeys(r.kind for r in chunk.records) if chunk.kind == "record" else ("",)


def emitted_key(chunk: Chunk, name: str) -> str:
    """The cache key of what a chunk adds to."""
    return f"{chunk.workspace}/{chunk.run}/{chunk.attempt}/{chunk.kind}/{name}"


def key_of(emitted: Emitted) -> str:
    """The cache key of a row."""
    return f"{emitted.workspace}/{emitted.run}/{emitted.attempt}/{emitted.kind}/{emitted.name}"


def progress_json(record: Progress) -> str:
    """``{time, done, total, unit, message, step}`` as JSON text; the time as RFC 3339."""
    return msgspec.json.encode(
        {
            "time": text_of(record.time),
            "done": record.done,
            "total": record.total,
            "unit": record.unit,
            "message": record.message,
            "step": record.step,
        }
    ).decode()

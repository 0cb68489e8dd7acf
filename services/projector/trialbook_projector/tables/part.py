"""A part of the ledger folded by itself: all but what needs the tables, or a key. Nothing of DuckDB, for the processes
that help with a build.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
import pyarrow as pa

from trialbook.aggregates import RUN
from trialbook.log.tail import Message
from trialbook.vault.ring import MARK
from trialbook_projector.tables import arrow
from trialbook_projector.tables.cache import ItemEntry, Lru, RunEntry
from trialbook_projector.tables.facts import CREATIONS, FactBatch, as_it_is

_BEGINNINGS = frozenset(type_.split(".")[1] for type_ in CREATIONS)
ROUTED = 5
"""Tokens that every fact's subject begins with."""


class Unfit(Exception):
    """The part has to be folded with the tables at hand: it has a gap, or something that cannot be read."""


class Folded(msgspec.Struct, frozen=True, array_like=True):
    """The facts up to ``up_to``: rows of ``book.facts`` and ``book.runs`` as Arrow streams, and the other messages."""

    up_to: int
    facts: bytes
    runs: bytes
    rest: list[tuple[int, str, bytes, int]]

    def messages(self) -> list[Message]:
        """What is left to be folded with the tables, in order."""
        return [Message(*fields) for fields in self.rest]

    def tables(self) -> dict[str, Any]:
        """The rows by table; tables without new rows are left out."""
        found = {"facts": self.facts, "runs": self.runs}
        return {name: pa.ipc.open_stream(content).read_all() for name, content in found.items() if content}


class PartFold:
    """Takes the facts after a position in order: runs that begin here are folded, everything else is kept for later."""

    def __init__(self, after: int) -> None:
        self._at = after
        self._runs: Lru[RunEntry] = Lru(sys.maxsize, complete=True)  # bounded: by the runs of a part
        self._items: Lru[ItemEntry] = Lru(1, complete=True)
        self._own_runs: set[tuple[str, str]] = set()
        self._begun: dict[str, RunEntry] = {}
        self._facts: list[Any] = []
        self._rest: list[tuple[int, str, bytes, int]] = []

    def add(self, messages: Sequence[Message]) -> None:
        """Fold what follows. Raises ``Unfit``."""
        self._at += len(messages)
        if messages[-1].sequence != self._at:
            raise Unfit
        batch = FactBatch(self._runs, self._items, _unknown, _unknown, as_it_is)
        batch.fold(list(self._own(messages)))
        if batch.parked:
            raise Unfit
        try:
            self._facts += [arrow.facts(batch.rows)] if batch.rows else []
        except arrow.UNFIT as error:
            raise Unfit from error
        self._begun |= batch.runs
        for key, run in batch.runs.items():
            self._runs.put(key, run)

    def folded(self) -> Folded:
        """Everything that was added. Raises ``Unfit``."""
        try:
            runs = [arrow.runs(list(self._begun.values()))] if self._begun else []
        except arrow.UNFIT as error:
            raise Unfit from error
        return Folded(self._at, _stream(self._facts), _stream(runs), self._rest)

    def _own(self, messages: Iterable[Message]) -> Iterator[Message]:
        """The facts of runs that begin here; from its first sealed fact on a run is left to who has the keys."""
        own = self._own_runs
        for message in messages:
            tokens = message.subject.split(".", ROUTED)
            if len(tokens) >= ROUTED and tokens[2] == RUN.kind:
                key = tokens[1], tokens[3]
                if MARK in message.data:
                    own.discard(key)
                elif tokens[4] in _BEGINNINGS:
                    own.add(key)
                if key in own:
                    yield message
                    continue
            self._rest.append((message.sequence, message.subject, message.data, message.time_ns))


def _unknown(_: Sequence[str]) -> Iterable[Any]:
    """Nothing else is known here."""
    return ()


def _stream(tables: Sequence[Any]) -> bytes:
    if not tables:
        return b""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, tables[0].schema) as writer:
        for table in tables:
            writer.write_table(table)
    return bytes(sink.getvalue())

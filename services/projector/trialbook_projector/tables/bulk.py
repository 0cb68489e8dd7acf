"""Apply many batches to tables that nobody reads yet: one thread folds while another writes large transactions."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

import msgspec

from trialbook_projector.tables.message import Message
from trialbook_projector.tables.part import Folded
from trialbook_projector.tables.store import Positions
from trialbook_projector.tables.writer import UNSTORABLE, Prepared, Writer

TRANSACTION_ROWS = 122_880
"""Rows of a DuckDB row group: a transaction that fills one goes to its place in the file, not through the log."""


class Bulk:
    """Use as ``with Bulk(writer) as bulk: bulk.put(facts, signals)``; everything is written when the block ends.

    The writer's caches and positions run ahead of what is written. A value that no table can hold is found a batch
    later: what was not written is applied again from its messages then, one batch at a time.
    """

    def __init__(self, writer: Writer, transaction_rows: int = TRANSACTION_ROWS) -> None:
        self._writer, self._transaction_rows = writer, transaction_rows
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="bulk")
        self._ready: list[Prepared] = []  # bounded by the rows of a transaction and a batch
        self._written: list[Prepared] = []  # what the thread has in hand
        self._writing: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        try:
            if error is None:
                self.settle()
        finally:
            self._thread.shutdown(wait=True)

    def put(self, facts: Sequence[Message], signals: Sequence[Message]) -> None:
        """Apply messages that follow those before; in one thread at a time."""
        try:
            prepared = self._writer.prepare(facts, signals, self._settle)
        except UNSTORABLE as error:
            self._again(error)
            self._apply(facts, signals)
            return
        self._writer.publish(prepared.applied)
        self._ready.append(prepared.published())
        if sum(p.rows for p in self._ready) >= self._transaction_rows:
            try:
                self._start()
            except UNSTORABLE as error:
                self._again(error)

    def put_folded(self, folded: Folded, rest: Sequence[Message]) -> None:
        """Apply a part that follows those before: its rows, and then what is left of its facts, ``rest``.

        What no table can hold raises ``UNSTORABLE``, here or later: the messages behind the rows are not at hand.
        """
        end = Positions(folded.up_to, self._writer.positions.signals)
        self._ready.append(self._writer.folded(folded, end))
        if rest:
            prepared = self._writer.prepare(rest, (), self._settle)
            applied = msgspec.structs.replace(prepared.applied, positions=end)
            self._writer.publish(applied)
            self._ready.append(msgspec.structs.replace(prepared, applied=applied).published())
        if sum(p.rows for p in self._ready) >= self._transaction_rows:
            self._start()

    def settle(self) -> None:
        """Have everything written. Raises as ``put_folded``."""
        try:
            self._settle()
        except UNSTORABLE as error:
            self._again(error)

    def _start(self) -> None:
        """Hand what is ready to the thread when it has done its work before."""
        self._wait()
        self._written, self._ready = self._ready, []
        if self._written:
            self._writing = self._thread.submit(self._writer.write, self._written)

    def _wait(self) -> None:
        if self._writing is not None:
            self._writing.result()
            self._writing, self._written = None, []

    def _settle(self) -> None:
        """Have everything written."""
        self._start()
        self._wait()

    def _again(self, error: Exception) -> None:
        """Apply what is not written from its messages. Raises ``error`` when these are not at hand."""
        try:
            self._wait()
        except UNSTORABLE:
            self._writing = None
        behind = [*self._written, *self._ready]
        self._written, self._ready = [], []
        if not all(prepared.facts or prepared.signals for prepared in behind):
            raise error
        self._writer.forget()
        for prepared in behind:
            self._apply(prepared.facts, prepared.signals)

    def _apply(self, facts: Sequence[Message], signals: Sequence[Message]) -> None:
        for applied in self._writer.apply(facts, signals):
            self._writer.publish(applied)

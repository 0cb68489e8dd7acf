"""Write batches: rows and positions in one transaction, poison put aside, caches changed only after the commit."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import duckdb
import msgspec
import pyarrow as pa

from trialbook.streams import FACTS, SIGNALS
from trialbook_projector.tables import arrow, erasure, find
from trialbook_projector.tables.cache import Emitted, ItemEntry, LatestProgress, Lru, RunEntry
from trialbook_projector.tables.erasure import DataSubject
from trialbook_projector.tables.facts import FactBatch, Open, as_it_is, run_key
from trialbook_projector.tables.message import Message, Parked, parked
from trialbook_projector.tables.part import Folded
from trialbook_projector.tables.signals import SignalBatch
from trialbook_projector.tables.store import Positions, Store

log = logging.getLogger(__name__)

UNSTORABLE = (
    duckdb.DataError, duckdb.ConversionException, duckdb.InvalidInputException, duckdb.OutOfRangeException,
    duckdb.ConstraintException, *arrow.UNFIT,
)  # fmt: skip
"""What a value that no table can hold may raise. Everything else (disk full, file broken) stops the projector."""

UPDATE_RUNS = """
UPDATE book.runs AS r SET status = u.status, attempt = u.attempt, runner = u.runner, queued_at = u.queued_at,
    started_at = u.started_at, finished_at = u.finished_at, deleted = u.deleted, terminal = u.terminal,
    signal_sequence = u.signal_sequence, sequence = u.sequence, state = u.state
FROM batch AS u WHERE r.created = u.created
"""
UPDATE_ITEMS = """
UPDATE book.items AS r SET name = u.name, deleted = u.deleted, sequence = u.sequence, data = u.data
FROM batch AS u WHERE r.created = u.created
"""
UPDATE_EMITTED = """
UPDATE book.emitted AS r SET count = u.count, last_cursor = u.last_cursor, last_time = u.last_time, latest = u.latest
FROM batch AS u WHERE r.first_cursor = u.first_cursor
"""

UPDATE_POSITIONS = "UPDATE book.positions SET position = CASE stream WHEN 'FACTS' THEN ? ELSE ? END"


class Capacity(msgspec.Struct, frozen=True, kw_only=True):
    """How many entries the caches keep."""

    runs: int = 8192
    items: int = 4096
    emitted: int = 16384


class Caches:
    """The newest committed state of what was used last. ``positions``: as of where; None while it is being changed."""

    def __init__(self, store: Store, capacity: Capacity) -> None:
        self.positions: Positions | None = store.positions()
        empty = {
            t: store.writer.execute(f"SELECT count(*) FROM book.{t}").fetchone()[0] == 0  # noqa: S608 -- our own names
            for t in ("runs", "items", "emitted")
        }
        self.runs: Lru[RunEntry] = Lru(capacity.runs, complete=empty["runs"])
        self.items: Lru[ItemEntry] = Lru(capacity.items, complete=empty["items"])
        self.emitted: Lru[Emitted] = Lru(capacity.emitted, complete=empty["emitted"])
        self.progress: Lru[LatestProgress] = Lru(capacity.runs, complete=empty["emitted"])

    def forget(self) -> None:
        """Nothing that was remembered may be used again."""
        for cache in (self.runs, self.items, self.emitted, self.progress):
            cache.clear()

    def put_run(self, key: str, run: RunEntry, progress: LatestProgress | None) -> None:
        """Remember a run. Invariant: the progress of a remembered run is remembered too, or there is none."""
        if progress is not None:
            self.put_progress(key, progress)
        self.runs.put(key, run)

    def put_progress(self, key: str, progress: LatestProgress) -> None:
        """Remember a progress unless a newer one is known; a run whose progress is forgotten is forgotten with it."""
        known = self.progress.get(key)
        if known is not None and known.cursor >= progress.cursor:
            return
        forgotten = self.progress.put(key, progress)
        if forgotten is not None:
            self.runs.drop(forgotten)


class Applied(msgspec.Struct, frozen=True):
    """What a batch changed."""

    positions: Positions
    runs: dict[str, RunEntry]
    items: dict[str, ItemEntry]
    emitted: dict[str, Emitted]
    progress: dict[str, LatestProgress]
    parked: list[Parked]
    erased: Sequence[DataSubject] = ()
    """Whose rows were folded again; nothing that is remembered counts then."""


class Prepared(msgspec.Struct, frozen=True):
    """A batch that was read and folded but not written yet: statements with the Arrow table each of them reads."""

    facts: Sequence[Message]
    signals: Sequence[Message]
    applied: Applied
    statements: list[tuple[str, Any]]

    @property
    def rows(self) -> int:
        """Rows to write."""
        return sum(table.num_rows for _, table in self.statements)

    def published(self) -> Prepared:
        """The same without what the caches have now: only what is left to write."""
        rest = Applied(self.applied.positions, {}, {}, {}, {}, self.applied.parked, self.applied.erased)
        return Prepared(self.facts, self.signals, rest, self.statements)


def _nothing() -> None:
    """All that was prepared has been written."""


class Writer:
    """Applies messages to a store. ``apply`` runs in one thread at a time; ``publish`` in the thread of the readers."""

    def __init__(self, store: Store, capacity: Capacity | None = None, open_: Open = as_it_is) -> None:
        self.store, self._open = store, open_
        self._capacity = capacity or Capacity()
        self.caches = Caches(store, self._capacity)
        self.positions = store.positions()
        self.parked = int(store.writer.execute("SELECT count(*) FROM book.parked").fetchone()[0])

    def apply(self, facts: Sequence[Message], signals: Sequence[Message]) -> list[Applied]:
        """Write messages that follow the positions, in one transaction if all can be stored.

        The caller publishes what is returned, in order. A message that no table can hold is found by halving the batch
        and put aside.
        """
        try:
            prepared = self.prepare(facts, signals)
            self.write([prepared])
        except UNSTORABLE as error:
            if len(facts) + len(signals) > 1:
                return self._halved(facts, signals)
            stream, message = (FACTS, facts[0]) if facts else (SIGNALS, signals[0])
            return [self._put_aside(parked(stream, message, error))]
        return [prepared.applied]

    def _halved(self, facts: Sequence[Message], signals: Sequence[Message]) -> list[Applied]:
        if facts and signals:
            halves: list[tuple[Sequence[Message], Sequence[Message]]] = [(facts, ()), ((), signals)]
        elif facts:
            halves = [(facts[: len(facts) // 2], ()), (facts[len(facts) // 2 :], ())]
        else:
            halves = [((), signals[: len(signals) // 2]), ((), signals[len(signals) // 2 :])]
        done: list[Applied] = []
        for half in halves:
            for applied in self.apply(*half):
                self.publish(applied)
                done.append(applied)
        return done

    def publish(self, applied: Applied) -> None:
        """Make a committed batch the newest knowledge. Doing it twice changes nothing."""
        self.caches.positions = None
        for key, run in applied.runs.items():
            self.caches.put_run(key, run, applied.progress.get(key))
        for key, item in applied.items.items():
            self.caches.items.put(key, item)
        for key, emitted in applied.emitted.items():
            self.caches.emitted.put(key, emitted)
        for key, progress in applied.progress.items():
            self.caches.put_progress(key, progress)
        if applied.erased:
            self.caches.forget()
        self.positions = self.caches.positions = applied.positions

    def prepare(
        self, facts: Sequence[Message], signals: Sequence[Message], settle: Callable[[], None] = _nothing
    ) -> Prepared:
        """Read and fold messages that follow the positions; nothing is changed.

        ``settle`` is called before something is looked up in the tables, which must have all earlier batches then.
        """
        writer = self.store.writer

        def look_up(find_in: Callable[[Any, Sequence[str]], Any]) -> Callable[[Sequence[str]], Any]:
            def found(keys: Sequence[str]) -> Any:
                settle()
                return find_in(writer, keys)

            return found

        fact_batch = FactBatch(self.caches.runs, self.caches.items, look_up(find.runs), look_up(find.items), self._open)
        fact_batch.fold(facts)
        signal_batch = SignalBatch(self.caches.emitted, look_up(find.emitted))
        signal_batch.fold(signals)
        positions = Positions(
            facts[-1].sequence if facts else self.positions.facts,
            signals[-1].sequence if signals else self.positions.signals,
        )
        progress = find.progress(writer, [r.id for r in fact_batch.found_runs]) if fact_batch.found_runs else {}
        for e in signal_batch.emitted.values():
            if e.latest is not None:
                progress[run_key(e.workspace, e.run)] = LatestProgress(e.last_cursor, e.latest)
        applied = Applied(
            positions, fact_batch.runs, fact_batch.items, signal_batch.emitted, progress,
            fact_batch.parked + signal_batch.parked, erasure.in_batch(fact_batch.rows),
        )  # fmt: skip
        return Prepared(facts, signals, applied, [*_of_facts(fact_batch), *_of_signals(signal_batch), *_of(applied)])

    def folded(self, part: Folded, end: Positions) -> Prepared:
        """A part of the facts whose rows were made elsewhere; its runs are not remembered, only found."""
        self.caches.runs.complete = False
        self.positions = end
        statements = [(_insert(name), rows) for name, rows in part.tables().items()]
        return Prepared((), (), Applied(end, {}, {}, {}, {}, []), statements)

    def write(self, batches: Sequence[Prepared]) -> None:
        """Write batches that follow each other in one transaction. Raises ``UNSTORABLE`` with nothing written."""
        writer, positions = self.store.writer, batches[-1].applied.positions
        writer.begin()
        try:
            for statement, table in _together(batches):
                writer.register("batch", table)
                writer.execute(statement)
                writer.unregister("batch")
            erasure.erase(writer, [subject for batch in batches for subject in batch.applied.erased])
            writer.execute(UPDATE_POSITIONS, [positions.facts, positions.signals])
            writer.commit()
        except UNSTORABLE:
            writer.rollback()
            raise
        for poison in (p for batch in batches for p in batch.applied.parked):
            self.parked += 1
            log.error("parked message %d of %s: %s", poison.message.sequence, poison.stream, poison.reason)

    def pass_over(self, signals: int) -> None:
        """Count signals up to there as applied: those that are not are gone from the stream."""
        if signals > self.positions.signals:
            self.store.writer.execute(UPDATE_POSITIONS, [self.positions.facts, signals])
            self.positions = self.caches.positions = Positions(self.positions.facts, signals)

    def forget(self) -> None:
        """Know only what the file holds."""
        self.caches = Caches(self.store, self._capacity)
        self.positions = self.store.positions()

    def _put_aside(self, poison: Parked) -> Applied:
        at = poison.message.sequence
        before = self.positions
        positions = Positions(at, before.signals) if poison.stream == FACTS else Positions(before.facts, at)
        applied = Applied(positions, {}, {}, {}, {}, [poison])
        self.write([Prepared((), (), applied, _of(applied))])
        return applied


def _insert(table: str) -> str:
    return f"INSERT INTO book.{table} BY NAME SELECT * FROM batch"  # noqa: S608 -- our own names


def _of_facts(batch: FactBatch) -> Iterable[tuple[str, Any]]:
    if batch.rows:
        yield _insert("facts"), arrow.facts(batch.rows)
    new, changed = _split(batch.runs, batch.new)
    if new:
        yield _insert("runs"), arrow.runs(new)
    if changed:
        yield UPDATE_RUNS, arrow.runs(changed)
    new_items, changed_items = _split(batch.items, batch.new)
    if new_items:
        yield _insert("items"), arrow.items(new_items)
    if changed_items:
        yield UPDATE_ITEMS, arrow.items(changed_items)


def _of_signals(batch: SignalBatch) -> Iterable[tuple[str, Any]]:
    for kind, table, columns in (
        ("log", "logs", arrow.logs),
        ("metric", "metrics", arrow.metrics),
        ("record", "records", arrow.rows),
    ):
        if batch.chunks[kind]:
            yield _insert(table), columns(batch.chunks[kind])
    new, changed = _split(batch.emitted, batch.new)
    if new:
        yield _insert("emitted"), arrow.emitted(new)
    if changed:
        yield UPDATE_EMITTED, arrow.emitted(changed)


def _of(applied: Applied) -> list[tuple[str, Any]]:
    return [(_insert("parked"), arrow.parked(applied.parked))] if applied.parked else []


def _together(batches: Sequence[Prepared]) -> Iterable[tuple[str, Any]]:
    """All insertions, one per table, and then the updates in order, which may change rows inserted here."""
    insertions: dict[str, list[Any]] = {}
    updates = []
    for statement, table in (s for batch in batches for s in batch.statements):
        if statement.startswith("INSERT"):
            insertions.setdefault(statement, []).append(table)
        else:
            updates.append((statement, table))
    for statement, tables in insertions.items():
        yield statement, pa.concat_tables(tables)
    yield from updates


def _split(entries: dict[str, Any], new: Iterable[str]) -> tuple[list[Any], list[Any]]:
    """Entries without and with a row."""
    fresh = set(new)
    return [e for k, e in entries.items() if k in fresh], [e for k, e in entries.items() if k not in fresh]

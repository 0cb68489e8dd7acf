"""Facts become rows: each is kept as it is, and folded into the state of its run or item."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from trialbook import subjects
from trialbook.aggregates import AGGREGATES, RUN
from trialbook.codec import UnknownEvent, decode_event, fact_of
from trialbook.domain.run import RunState
from trialbook.domain.run import events as run_events
from trialbook.envelope import AggregateId, Event
from trialbook.streams import FACTS
from trialbook_projector.tables.cache import ItemEntry, Lru, RunEntry
from trialbook_projector.tables.message import UNREADABLE, Message, Parked, parked

ITEM_KINDS = frozenset({"workspace", "file", "dataset", "model"})
CREATIONS = frozenset({run_events.Created.TYPE, run_events.Submitted.TYPE})
# Readers never see effects and checkpoints; leaving them out keeps a row small however much a run records.
UNSEEN = frozenset({run_events.EffectRecorded.TYPE, run_events.Checkpointed.TYPE})
_RUN_FACTS = frozenset(RUN.events.values())
_INITIAL_RUN: RunState = RUN.decider.initial()
_evolve_run = RUN.decider.evolve

Open = Callable[[Event], Event]
"""Gives an event its sealed members back; rows keep the event as it is in the ledger."""
FindRuns = Callable[[Sequence[str]], Iterable[RunEntry]]
FindItems = Callable[[Sequence[str]], Iterable[ItemEntry]]


def as_it_is(event: Event) -> Event:
    """For tables without keys: sealed members show their placeholders."""
    return event


class FactRow(msgspec.Struct, frozen=True, gc=False):
    """A fact with its place."""

    message: Message
    workspace: str
    kind: str
    aggregate: str
    event: Event


class FactBatch:
    """A batch of facts, folded over what the caches and the tables know. Nothing outside it is changed."""

    def __init__(
        self, runs: Lru[RunEntry], items: Lru[ItemEntry], find_runs: FindRuns, find_items: FindItems, open_: Open
    ) -> None:
        self._runs, self._items = runs, items
        self._find_runs, self._find_items, self._open = find_runs, find_items, open_
        self._known: dict[str, Any] = {}
        self.rows: list[FactRow] = []
        self.runs: dict[str, RunEntry] = {}
        """Subject -> changed run."""
        self.items: dict[str, ItemEntry] = {}
        self.new: set[str] = set()
        """Subjects of changed runs and items that have no row yet."""
        self.found_runs: list[RunEntry] = []
        """Runs that had to be fetched from the tables."""
        self.parked: list[Parked] = []

    def fold(self, messages: Sequence[Message]) -> None:
        """Fold messages in order; unreadable ones are put aside."""
        read = self._read(messages)
        if not (self._runs.complete and self._items.complete):
            self._load(read)
        keep, fold_run = self.rows.append, self._fold_run
        for row in read:
            try:
                if row.kind == "run":
                    fold_run(row, row.event)
                else:
                    self._fold_other(row)
            except UNREADABLE as error:
                self.parked.append(parked(FACTS, row.message, error))
            else:
                keep(row)

    def _read(self, messages: Sequence[Message]) -> list[FactRow]:
        read = []
        for message in messages:
            try:
                event = decode_event(message.data)
                workspace, kind, aggregate = event.subject.split("/")
                if not message.subject.startswith(
                    subjects.aggregate_facts(AggregateId(workspace, kind, aggregate))[:-1]
                ):
                    raise UnknownEvent(f"the envelope's subject {event.subject!r} is not that of the message")
            except UNREADABLE as error:
                self.parked.append(parked(FACTS, message, error))
            else:
                read.append(FactRow(message, workspace, kind, aggregate, event))
        return read

    def _load(self, read: Iterable[FactRow]) -> None:
        """Fetch what is neither cached nor new."""
        runs: dict[str, None] = {}
        items: dict[str, None] = {}
        created: set[str] = set()
        for row in read:
            subject = row.event.subject
            if row.kind == "run":
                if row.event.type in CREATIONS:
                    created.add(subject)
                elif not self._runs.complete and subject not in created and subject not in self._runs:
                    runs[subject] = None
            elif row.kind in ITEM_KINDS and not self._items.complete and subject not in self._items:
                items[subject] = None
        if runs:
            self.found_runs.extend(self._find_runs(list(runs)))
            self._known |= {run_key(e.workspace, e.id): e for e in self.found_runs}
        if items:
            self._known |= {item_key(e.workspace, e.kind, e.id): e for e in self._find_items(list(items))}

    def _fold_run(self, row: FactRow, event: Event) -> None:
        subject = event.subject
        entry = self.runs.get(subject) or self._runs.get(subject) or self._known.get(subject)
        state: RunState = _INITIAL_RUN if entry is None else entry.state
        if event.type not in UNSEEN:
            fact = fact_of(self._open(event) if event.datakey else event)
            if type(fact) not in _RUN_FACTS:
                raise UnknownEvent(f"{event.type!r} is no fact of a run")
            state = _evolve_run(state, fact, event.time)
        if state.spec is None:
            raise UnknownEvent("a fact of a run that was never created")
        sequence = row.message.sequence
        if entry is None:
            self.new.add(subject)
        created = sequence if entry is None else entry.created
        self.runs[subject] = RunEntry(created, row.workspace, row.aggregate, sequence, state)

    def _fold_other(self, row: FactRow) -> None:
        event, subject = row.event, row.event.subject
        fact = fact_of(self._open(event) if event.datakey else event)
        if row.kind not in AGGREGATES or type(fact).TYPE not in AGGREGATES[row.kind].events:
            raise UnknownEvent(f"{event.type!r} is no fact of a {row.kind}")
        if row.kind not in ITEM_KINDS:
            return
        entry = self.items.get(subject) or self._items.get(subject) or self._known.get(subject)
        decider = AGGREGATES[row.kind].decider
        state = decider.evolve(decider.initial() if entry is None else entry.state, fact, event.time)
        if not state.exists:
            raise UnknownEvent(f"a fact of a {row.kind} that was never created")
        sequence = row.message.sequence
        created, created_at = (sequence, event.time) if entry is None else (entry.created, entry.created_at)
        if entry is None:
            self.new.add(subject)
        self.items[subject] = ItemEntry(created, row.kind, row.workspace, row.aggregate, sequence, created_at, state)


def run_key(workspace: str, id_: str) -> str:
    """The cache key of a run: its CloudEvents subject."""
    return f"{workspace}/run/{id_}"


def item_key(workspace: str, kind: str, id_: str) -> str:
    """The cache key of an item: its CloudEvents subject."""
    return f"{workspace}/{kind}/{id_}"

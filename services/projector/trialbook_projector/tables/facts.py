"""Facts become rows: each is kept as it is, and folded into the state of its run or item."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from trialbook.aggregates import AGGREGATES, RUN
from trialbook.codec import UnknownEvent, decode_event, fact_of
from trialbook.domain.run import RunState
from trialbook.domain.run import events as run_events
from trialbook.envelope import Event
from trialbook.streams import FACTS
from trialbook_projector.tables.cache import ItemEntry, Lru, RunEntry
from trialbook_projector.tables.message import UNREADABLE, Message, Parked, parked

ITEM_KINDS = frozenset({"workspace", "file", "dataset", "model"})
CREATIONS = frozenset({run_events.Created.TYPE, run_events.Submitted.TYPE})
# Readers never see effects and checkpoints; leaving them out keeps a row small however much a run records.
UNSEEN = frozenset({run_events.EffectRecorded.TYPE, run_events.Checkpointed.TYPE})

FindRuns = Callable[[Sequence[str]], Iterable[RunEntry]]
FindItems = Callable[[Sequence[str]], Iterable[ItemEntry]]


class FactRow(msgspec.Struct, frozen=True):
    """A fact with its place."""

    sequence: int
    workspace: str
    kind: str
    aggregate: str
    event: Event


class FactBatch:
    """A batch of facts, folded over what the caches and the tables know. Nothing outside it is changed."""

    def __init__(self, runs: Lru[RunEntry], items: Lru[ItemEntry], find_runs: FindRuns, find_items: FindItems) -> None:
        self._runs, self._items = runs, items
        self._find_runs, self._find_items = find_runs, find_items
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
        read = [pair for message in messages if (pair := self._read(message)) is not None]
        known = self._load(read)
        for row, message in read:
            try:
                self._fold_one(row, known)
            except UNREADABLE as error:
                self.parked.append(parked(FACTS, message, error))
            else:
                self.rows.append(row)

    def _read(self, message: Message) -> tuple[FactRow, Message] | None:
        try:
            event = decode_event(message.data)
            workspace, kind, aggregate = event.subject.split("/")
            if not message.subject.startswith(f"fact.{workspace}.{kind}.{aggregate}."):
                raise UnknownEvent(f"the envelope's subject {event.subject!r} is not that of the message")
        except UNREADABLE as error:
            self.parked.append(parked(FACTS, message, error))
            return None
        return FactRow(message.sequence, workspace, kind, aggregate, event), message

    def _load(self, read: Iterable[tuple[FactRow, Message]]) -> dict[str, Any]:
        """Fetch what is neither cached nor new: subject -> entry."""
        runs: dict[str, None] = {}
        items: dict[str, None] = {}
        created: set[str] = set()
        for row, _ in read:
            subject = row.event.subject
            if row.kind == "run":
                if row.event.type in CREATIONS:
                    created.add(subject)
                elif not self._runs.complete and subject not in created and subject not in self._runs:
                    runs[subject] = None
            elif row.kind in ITEM_KINDS and not self._items.complete and subject not in self._items:
                items[subject] = None
        known: dict[str, Any] = {}
        if runs:
            self.found_runs.extend(self._find_runs(list(runs)))
            known |= {run_key(e.workspace, e.id): e for e in self.found_runs}
        if items:
            known |= {item_key(e.workspace, e.kind, e.id): e for e in self._find_items(list(items))}
        return known

    def _fold_one(self, row: FactRow, known: dict[str, Any]) -> None:
        event, subject = row.event, row.event.subject
        if event.type in UNSEEN:
            fact = None
            if not row.kind == "run":
                raise UnknownEvent(f"{event.type!r} is no fact of a {row.kind}")
        else:
            fact = fact_of(event)
            if row.kind not in AGGREGATES or type(fact).TYPE not in AGGREGATES[row.kind].events:
                raise UnknownEvent(f"{event.type!r} is no fact of a {row.kind}")
        if row.kind == "run":
            entry = self.runs.get(subject) or self._runs.get(subject) or known.get(subject)
            self._fold_run(row, entry, fact)
        elif row.kind in ITEM_KINDS:
            item = self.items.get(subject) or self._items.get(subject) or known.get(subject)
            self._fold_item(row, item, fact)

    def _fold_run(self, row: FactRow, entry: RunEntry | None, fact: Any) -> None:
        state: RunState = RUN.decider.initial() if entry is None else entry.state
        if fact is not None:
            state = RUN.decider.evolve(state, fact, row.event.time)
        if state.spec is None:
            raise UnknownEvent("a fact of a run that was never created")
        created = row.sequence if entry is None else entry.created
        self.runs[row.event.subject] = RunEntry(created, row.workspace, row.aggregate, row.sequence, state)
        if entry is None:
            self.new.add(row.event.subject)

    def _fold_item(self, row: FactRow, entry: ItemEntry | None, fact: Any) -> None:
        decider = AGGREGATES[row.kind].decider
        state = decider.evolve(decider.initial() if entry is None else entry.state, fact, row.event.time)
        if not state.exists:
            raise UnknownEvent(f"a fact of a {row.kind} that was never created")
        created = row.sequence if entry is None else entry.created
        created_at = row.event.time if entry is None else entry.created_at
        self.items[row.event.subject] = ItemEntry(
            created, row.kind, row.workspace, row.aggregate, row.sequence, created_at, state
        )
        if entry is None:
            self.new.add(row.event.subject)


def run_key(workspace: str, id_: str) -> str:
    """The cache key of a run: its CloudEvents subject."""
    return f"{workspace}/run/{id_}"


def item_key(workspace: str, kind: str, id_: str) -> str:
    """The cache key of an item: its CloudEvents subject."""
    return f"{workspace}/{kind}/{id_}"

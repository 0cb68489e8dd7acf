"""Runs as the ledger has them, ahead of the commit of their rows.

A fact is on disk before it is seen here, so the newest state of a run can be told from memory while its rows are
still being written: a commit costs milliseconds, a fold microseconds. The head holds only runs with facts that are not
committed yet; what it cannot fold (a run that is not remembered, a poison fact) it leaves to the tables.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from trialbook.aggregates import DATASUBJECT, RUN
from trialbook.codec import decode_event, fact_of
from trialbook_projector.tables.cache import RunEntry
from trialbook_projector.tables.facts import CREATIONS, UNSEEN, Open, as_it_is
from trialbook_projector.tables.message import UNREADABLE, Message
from trialbook_projector.tables.store import Positions
from trialbook_projector.watermarks import Watermarks

RUN_FACT_TOKENS = 5


class Head:
    """Lives on the event loop. ``marks`` tells how far it has come; only its facts position counts."""

    def __init__(self, position: int, remembered: Callable[[str], RunEntry | None], open_: Open = as_it_is) -> None:
        self._open = open_
        self.marks = Watermarks(Positions(position, 0))
        self._remembered = remembered
        self._runs: dict[str, RunEntry | None] = {}
        """Subject -> state; None: facts are on their way into the tables that could not be folded here."""
        self._order: deque[tuple[int, str]] = deque()  # bounded: by the facts that wait in the pump

    def knows(self, key: str) -> bool:
        """Whether the run has facts that are not committed."""
        return key in self._runs

    def run(self, key: str) -> RunEntry | None:
        """The newest state of a run that ``knows`` is true of; None when only the tables will tell."""
        return self._runs.get(key)

    def fold(self, messages: Sequence[Message]) -> None:
        """Take facts that follow the position."""
        for message in messages:
            self._fold_one(message)
        self.marks.advance(Positions(messages[-1].sequence, 0))

    def committed(self, position: int) -> None:
        """Forget what the tables tell now."""
        while self._order and self._order[0][0] <= position:
            sequence, key = self._order.popleft()
            entry = self._runs.get(key)
            if entry is None or entry.sequence <= sequence:
                self._runs.pop(key, None)
        if position > self.marks.positions.facts:
            self.marks.advance(Positions(position, 0))

    def _fold_one(self, message: Message) -> None:
        tokens = message.subject.split(".")
        if len(tokens) < RUN_FACT_TOKENS or tokens[2] != RUN.kind:
            if tokens[2:3] == [DATASUBJECT.kind]:
                self._runs = dict.fromkeys(self._runs)  # what was opened may have been erased: the tables tell
            return
        _, workspace, _, aggregate, *_ = tokens
        key = f"{workspace}/run/{aggregate}"
        self._order.append((message.sequence, key))
        try:
            self._runs[key] = self._next(key, workspace, aggregate, message)
        except UNREADABLE:
            self._runs[key] = None  # the writer finds the same, puts the fact aside and says so

    def _next(self, key: str, workspace: str, aggregate: str, message: Message) -> RunEntry | None:
        event = decode_event(message.data)
        before = self._runs[key] if key in self._runs else self._remembered(key)
        if event.type in CREATIONS:
            state, created = RUN.decider.initial(), message.sequence
        elif before is not None:
            state, created = before.state, before.created
        else:
            return None
        if event.type not in UNSEEN:
            state = RUN.decider.evolve(state, fact_of(self._open(event) if event.datakey else event), event.time)
        return RunEntry(created, workspace, aggregate, message.sequence, state)

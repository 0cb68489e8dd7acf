"""What one atomic append will hold: commands decided one after another, each over what those before it lead to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import msgspec

from trialbook.aggregates import AGGREGATES
from trialbook.clock import Clock
from trialbook.codec import event_of, route_of
from trialbook.envelope import AggregateId, Event, Metadata
from trialbook.ids import IdSource
from trialbook.ports import Part

S = TypeVar("S")


class Loaded(msgspec.Struct, Generic[S], frozen=True):
    """An aggregate's state at its last sequence (0: it does not exist); ``datakey`` seals its personal members."""

    state: S
    sequence: int
    datakey: str = ""


class Outcome(msgspec.Struct, Generic[S], frozen=True):
    """What a command led to: the new state, its sequence, the new facts (none: it had been carried out before)."""

    state: S
    sequence: int
    facts: Sequence[Any]
    datakey: str = ""

    @property
    def loaded(self) -> Loaded[S]:
        """What is known of the aggregate now, for the next command on it."""
        return Loaded(self.state, self.sequence, self.datakey)


class Draft:
    """Decides over ``loaded``, which has every aggregate that a command is given to."""

    def __init__(self, loaded: dict[AggregateId, Loaded[Any]], meta: Metadata, ids: IdSource, clock: Clock) -> None:
        self._loaded, self._meta, self._ids, self._clock = loaded, meta, ids, clock
        self._states: dict[AggregateId, Any] = {}
        self._events: dict[AggregateId, list[Event]] = {}
        self._routes: dict[AggregateId, list[tuple[str, ...]]] = {}

    def state(self, aggregate: AggregateId) -> Any:
        """The aggregate's state after what was decided so far."""
        return self._states[aggregate] if aggregate in self._states else self._loaded[aggregate].state

    def decide(self, aggregate: AggregateId, command: Any) -> Outcome[Any]:
        """Decide a command; the outcome's sequence is the one before the append. Raises the domain's refusals."""
        decider, before = AGGREGATES[aggregate.kind].decider, self._loaded[aggregate]
        state = self.state(aggregate)
        facts = decider.decide(command, state, self._clock.now())
        datakey = before.datakey if before.sequence else self._meta.datakey_of(aggregate.kind)
        if facts:
            events = [event_of(aggregate, fact, self._meta, self._ids, self._clock, datakey) for fact in facts]
            state = decider.fold(((f, e.time) for f, e in zip(facts, events, strict=True)), state)
            self._states[aggregate] = state
            self._events.setdefault(aggregate, []).extend(events)
            self._routes.setdefault(aggregate, []).extend(route_of(fact) for fact in facts)
        return Outcome(state, before.sequence, facts, datakey)

    def parts(self) -> list[Part]:
        """What is to be appended, one part per aggregate; empty when nothing new was decided."""
        return [
            Part(
                aggregate=aggregate, expected=self._loaded[aggregate].sequence, events=events,
                routes=self._routes[aggregate],
            )
            for aggregate, events in self._events.items()
        ]  # fmt: skip

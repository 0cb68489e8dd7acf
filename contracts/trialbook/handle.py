"""The one command handler: load, fold, decide, append, return."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import msgspec

from trialbook.aggregates import AGGREGATES
from trialbook.clock import Clock
from trialbook.codec import event_of, fact_of, route_of
from trialbook.envelope import AggregateId, Metadata
from trialbook.errors import Conflict
from trialbook.ids import IdSource
from trialbook.ports import EventLog, Part, VersionConflict

MAX_TRIES = 24
"""A run may append hundreds of facts a second, and who wants to stop it must get through."""
S = TypeVar("S")


class Loaded(msgspec.Struct, Generic[S], frozen=True):
    """An aggregate's state at its last sequence (0: it does not exist)."""

    state: S
    sequence: int


class Outcome(msgspec.Struct, Generic[S], frozen=True):
    """What a command led to: the new state, its sequence, the new facts (none: it had been carried out before)."""

    state: S
    sequence: int
    facts: Sequence[Any]


class Handler:
    """Carries out commands against an event log."""

    def __init__(self, log: EventLog, clock: Clock, ids: IdSource) -> None:
        self._log, self._clock, self._ids = log, clock, ids

    async def load(self, aggregate: AggregateId) -> Loaded[Any]:
        """Fold the aggregate's facts. Raises ``codec.UnknownEvent`` for facts this version cannot read."""
        decider = AGGREGATES[aggregate.kind].decider
        records = await self._log.read(aggregate)
        state = decider.fold((fact_of(r.event), r.event.time) for r in records)
        return Loaded(state, records[-1].sequence if records else 0)

    async def _newer(self, aggregate: AggregateId, known: Loaded[Any]) -> Loaded[Any]:
        """The present state: only what came after a known one is read, so that a busy aggregate can be caught."""
        records = await self._log.read(aggregate, known.sequence)
        decider = AGGREGATES[aggregate.kind].decider
        state = decider.fold(((fact_of(r.event), r.event.time) for r in records), known.state)
        return Loaded(state, records[-1].sequence if records else known.sequence)

    async def handle(
        self, aggregate: AggregateId, command: Any, meta: Metadata, known: Loaded[Any] | None = None
    ) -> Outcome[Any]:
        """Carry out one command. ``known`` spares the read; a stale one only costs a retry."""
        return (await self.handle_all([(aggregate, command)], meta, {aggregate: known} if known else None))[0]

    async def handle_all(
        self,
        commands: Sequence[tuple[AggregateId, Any]],
        meta: Metadata,
        known: dict[AggregateId, Loaded[Any]] | None = None,
    ) -> list[Outcome[Any]]:
        """Carry out commands on several aggregates in one atomic append: all happen or none.

        Raises the refusal of the first command that is refused, or ``Conflict`` (code ``contention``) when other
        writers were quicker every time.
        """
        loaded = dict(known or {})
        for _ in range(MAX_TRIES):
            for aggregate, _command in commands:
                if aggregate not in loaded:
                    loaded[aggregate] = await self.load(aggregate)
            outcomes, parts = self._decide(commands, loaded, meta)
            if not parts:
                return outcomes
            try:
                ends = await self._log.append(parts)
            except VersionConflict:
                loaded = {a: await self._newer(a, loaded[a]) for a, _ in commands}
                continue
            by_aggregate = {part.aggregate: end for part, end in zip(parts, ends, strict=True)}
            return [
                Outcome(outcome.state, by_aggregate.get(aggregate, outcome.sequence), outcome.facts)
                for outcome, (aggregate, _) in zip(outcomes, commands, strict=True)
            ]
        raise Conflict("contention", "Others keep changing the same thing at the same time; try again.")

    def _decide(
        self, commands: Sequence[tuple[AggregateId, Any]], loaded: dict[AggregateId, Loaded[Any]], meta: Metadata
    ) -> tuple[list[Outcome[Any]], list[Part]]:
        outcomes: list[Outcome[Any]] = []
        parts: list[Part] = []
        for aggregate, command in commands:
            decider = AGGREGATES[aggregate.kind].decider
            before = loaded[aggregate]
            facts = decider.decide(command, before.state, self._clock.now())
            events = [event_of(aggregate, fact, meta, self._ids, self._clock) for fact in facts]
            state = decider.fold(((f, e.time) for f, e in zip(facts, events, strict=True)), before.state)
            outcomes.append(Outcome(state, before.sequence, facts))
            if events:
                routes = [route_of(fact) for fact in facts]
                parts.append(Part(aggregate=aggregate, expected=before.sequence, events=events, routes=routes))
        return outcomes, parts


def fresh(kind: str) -> Loaded[Any]:
    """The assumption that an aggregate does not exist yet: a creation then needs no read."""
    return Loaded(AGGREGATES[kind].decider.initial(), 0)

"""The one command handler: load, fold, decide, append, return."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from types import MappingProxyType
from typing import Any

from msgspec.structs import replace

from trialbook.aggregates import AGGREGATES
from trialbook.clock import Clock
from trialbook.codec import fact_of
from trialbook.draft import Draft, Loaded, Outcome
from trialbook.envelope import AggregateId, Metadata, Recorded
from trialbook.errors import Conflict, PreconditionFailed
from trialbook.ids import IdSource
from trialbook.lanes import Need, decide_in_lane, lane_name
from trialbook.ports import EventLog, VersionConflict
from trialbook.turns import SHARED, Turns

__all__ = ["Handler", "Loaded", "Outcome", "fresh"]

MAX_TRIES = 24
"""A run may append hundreds of facts a second, and who wants to stop it must get through."""
Read = Callable[..., Awaitable[list[Recorded]]]
"""``EventLog.read``, or what reads less: see ``log.decisive``."""
REMEMBERED_LANES = 1024
NOTHING_PINNED: Mapping[AggregateId, int] = MappingProxyType({})


class Handler:
    """Carries out commands against an event log."""

    def __init__(self, log: EventLog, clock: Clock, ids: IdSource, read: Read | None = None) -> None:
        """``read`` replaces ``log.read`` for who needs no more than decisions do."""
        self._log, self._clock, self._ids = log, clock, ids
        self._turns = Turns()
        self._lanes: OrderedDict[AggregateId, Loaded[Any]] = OrderedDict()
        self._read: Read = read or log.read

    async def load(self, aggregate: AggregateId, known: Loaded[Any] | None = None) -> Loaded[Any]:
        """Fold the aggregate's facts, those after ``known`` when it is given.

        Raises ``codec.UnknownEvent`` for facts this version cannot read.
        """
        if known is not None:
            return await self._newer(aggregate, known)
        decider = AGGREGATES[aggregate.kind].decider
        records = await self._read(aggregate)
        state = decider.fold((fact_of(r.event), r.event.time) for r in records)
        if not records:
            return Loaded(state, 0)
        return Loaded(state, records[-1].sequence, records[0].event.datakey)

    async def _newer(self, aggregate: AggregateId, known: Loaded[Any]) -> Loaded[Any]:
        """The present state: only what came after a known one is read, so that a busy aggregate can be caught."""
        records = await self._read(aggregate, known.sequence)
        decider = AGGREGATES[aggregate.kind].decider
        state = decider.fold(((fact_of(r.event), r.event.time) for r in records), known.state)
        if not records:
            return known
        return Loaded(state, records[-1].sequence, known.datakey or records[0].event.datakey)

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
        pinned: Mapping[AggregateId, int] = NOTHING_PINNED,
    ) -> list[Outcome[Any]]:
        """Carry out commands on several aggregates in one atomic append: all happen or none.

        Commands on one aggregate are decided in order; the outcome of the last one has its state. What queues or ends
        a run of a lane changes the lane as well, and lets the next one in. ``pinned`` aggregates must not change from
        these sequences. Raises the refusal of the first command that is refused, ``PreconditionFailed`` (code
        ``changed_meanwhile``), or ``Conflict`` (code ``contention``) when other writers were quicker every time.
        """
        loaded = dict(known or {})
        async with AsyncExitStack() as turns:
            need = partial(self._need, loaded, set(), turns)
            for _ in range(MAX_TRIES):
                for aggregate, _command in commands:
                    await need(aggregate)
                draft = Draft(loaded, meta, self._ids, self._clock)
                outcomes = [await _decide(draft, aggregate, command, need) for aggregate, command in commands]
                parts = draft.parts()
                try:
                    ends = await self._log.append(parts) if parts else []
                except VersionConflict:
                    loaded.update([(a, await self._newer(a, before)) for a, before in loaded.items()])
                    _unchanged(pinned, loaded)
                    continue
                by_aggregate = {part.aggregate: end for part, end in zip(parts, ends, strict=True)}
                self._remember(draft, by_aggregate)
                return [
                    replace(outcome, sequence=by_aggregate.get(aggregate, outcome.sequence))
                    for outcome, (aggregate, _) in zip(outcomes, commands, strict=True)
                ]
        raise Conflict("contention", "Others keep changing the same thing at the same time; try again.")

    async def _need(
        self, loaded: dict[AggregateId, Loaded[Any]], held: set[AggregateId], turns: AsyncExitStack, one: AggregateId
    ) -> None:
        """Have an aggregate loaded; a shared one in turn, and as those before left it."""
        changed = False
        if one.kind in SHARED and one not in held:
            changed = await self._turns.take(one, turns)
            held.add(one)
        if changed or one not in loaded:
            loaded[one] = await self.load(one, loaded.get(one) or self._lanes.get(one))

    def _remember(self, draft: Draft, ends: dict[AggregateId, int]) -> None:
        """A lane's history grows with every run; only what is new of it is read again."""
        for aggregate, sequence in ends.items():
            if aggregate.kind == "lane":
                self._lanes[aggregate] = Loaded(draft.state(aggregate), sequence)
                self._lanes.move_to_end(aggregate)
                if len(self._lanes) > REMEMBERED_LANES:
                    self._lanes.popitem(last=False)


async def _decide(draft: Draft, aggregate: AggregateId, command: Any, need: Need) -> Outcome[Any]:
    name = lane_name(aggregate, command, draft.state(aggregate))
    return await decide_in_lane(draft, aggregate, command, name, need) if name else draft.decide(aggregate, command)


def _unchanged(pinned: Mapping[AggregateId, int], loaded: dict[AggregateId, Loaded[Any]]) -> None:
    for aggregate, sequence in pinned.items():
        if loaded[aggregate].sequence != sequence:
            raise PreconditionFailed("changed_meanwhile", "It was changed since you read it; read it again and decide.")


def fresh(kind: str) -> Loaded[Any]:
    """The assumption that an aggregate does not exist yet: a creation then needs no read."""
    return Loaded(AGGREGATES[kind].decider.initial(), 0)

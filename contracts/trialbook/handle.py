"""The one command handler: load, fold, decide, append, return."""

from __future__ import annotations

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
from trialbook.lane_memory import LaneMemory
from trialbook.lanes import Need, decide_in_lane, lane_aggregate, lane_name
from trialbook.ports import EventLog, VersionConflict
from trialbook.turns import SHARED, Turns

__all__ = ["Handler", "Loaded", "Outcome", "fresh"]

MAX_TRIES = 240
"""A run may append hundreds of facts a second, and who wants to stop it must get through; all of them take a second."""
Read = Callable[..., Awaitable[list[Recorded]]]
"""``EventLog.read``, or what reads less: see ``log.decisive``."""
NOTHING_PINNED: Mapping[AggregateId, int] = MappingProxyType({})


class Handler:
    """Carries out commands against an event log."""

    def __init__(self, log: EventLog, clock: Clock, ids: IdSource, read: Read | None = None) -> None:
        """``read`` replaces ``log.read`` for who needs no more than decisions do."""
        self._log, self._clock, self._ids = log, clock, ids
        self._turns = Turns()
        self._lanes = LaneMemory()
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
        ``changed_meanwhile``), or ``Conflict`` (code ``contention``) when other writers were quicker every time,
        ``Unavailable`` when the turn at what many change does not come.
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
                for aggregate in by_aggregate.keys() - {aggregate for aggregate, _ in commands}:  # of lanes
                    datakey = loaded[aggregate].datakey
                    self._lanes.remember(aggregate, Loaded(draft.state(aggregate), by_aggregate[aggregate], datakey))
                return [
                    replace(outcome, sequence=by_aggregate.get(aggregate, outcome.sequence))
                    for outcome, (aggregate, _) in zip(outcomes, commands, strict=True)
                ]
        raise Conflict("contention", "Others keep changing the same thing at the same time; try again.")

    async def _need(
        self, loaded: dict[AggregateId, Loaded[Any]], held: set[AggregateId], turns: AsyncExitStack, one: AggregateId,
        *, leaving: str = "", ticket: str = "",
    ) -> None:  # fmt: skip
        """Have an aggregate loaded; a shared one in turn, and as those before left it. See ``lanes.Need``."""
        changed = False
        if one.kind in SHARED and one not in held:
            changed = await self._turns.take(one, turns)
            held.add(one)
        if one not in loaded and (sure := self._lanes.lane_of(one, leaving) or self._lanes.waiting(one, ticket)):
            loaded[one] = sure
        elif changed or one not in loaded:
            loaded[one] = await self.load(one, loaded.get(one) or self._lanes.lane(one))

    async def foresee(self, run: AggregateId, lane: str) -> None:
        """Read what the end of a run that is inside a lane will need to be known, while the run is executed."""
        of_lane = lane_aggregate(run.workspace, lane)
        known = self._lanes.lane_of(of_lane, run.id)
        if known is None:
            known = await self.load(of_lane, self._lanes.lane(of_lane))
            self._lanes.remember(of_lane, known)
        if len(known.state.places) > 1:
            following = AggregateId(run.workspace, "run", known.state.places[1].run)
            self._lanes.remember(following, await self.load(following))

    def let_in(self, run: AggregateId, sequence: int) -> Loaded[Any] | None:
        """The state of a run that this handler let into its lane with the fact at this sequence; None of others."""
        return self._lanes.let_in(run, sequence)


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

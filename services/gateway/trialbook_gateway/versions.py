"""Adding a version to a dataset or model: with an Idempotency-Key at most once, whatever else is added meanwhile."""

from __future__ import annotations

import msgspec

from trialbook.aggregates import AGGREGATES
from trialbook.codec import event_of, fact_of, route_of
from trialbook.domain import versioned as domain
from trialbook.envelope import AggregateId
from trialbook.errors import Conflict
from trialbook.ports import Part, VersionConflict
from trialbook_gateway.services import Caller, Services

MAX_TRIES = 8


class Added(msgspec.Struct, frozen=True):
    """A version, the sequence of its fact, and whether an earlier request under the same key had added it."""

    version: domain.Version
    sequence: int
    replayed: bool = False


async def add_version(
    services: Services, caller: Caller, aggregate: AggregateId, command: domain.AddVersion, key: str
) -> Added:
    """Append the version. ``key`` (empty: none) is kept as the cause of its fact.

    Raises ``NotFound``, or ``Conflict`` (``idempotency_key_reused``; ``contention`` when others were quicker eight
    times in a row).
    """
    decider = AGGREGATES[aggregate.kind].decider
    meta = msgspec.structs.replace(caller.meta, causation=key)
    for _ in range(MAX_TRIES):
        records = await services.log.read(aggregate)
        state = decider.fold((fact_of(r.event), r.event.time) for r in records)
        for record in records if key else ():
            if record.event.causationid == key:
                return _again(fact_of(record.event), state, command, record.sequence)
        facts = decider.decide(command, state, services.clock.now())
        if not facts:
            return Added(state.versions[-1], records[-1].sequence)
        events = [event_of(aggregate, fact, meta, services.ids, services.clock) for fact in facts]
        expected = records[-1].sequence
        part = Part(aggregate=aggregate, expected=expected, events=events, routes=[route_of(fact) for fact in facts])
        try:
            [sequence] = await services.log.append([part])
        except VersionConflict:
            continue
        services.wrote(aggregate, sequence)
        services.telemetry.facts.inc(len(facts))
        after = decider.fold(((f, e.time) for f, e in zip(facts, events, strict=True)), state)
        return Added(after.versions[-1], sequence)
    raise Conflict("contention", "Others keep adding versions at the same time; try again.")


def _again(fact: domain.VersionAdded, state: domain.State, command: domain.AddVersion, sequence: int) -> Added:
    if (fact.files, fact.metadata, fact.run) != (command.files, command.metadata, command.run):
        raise Conflict(
            "idempotency_key_reused", "This Idempotency-Key was used before for another version; use a new key."
        )
    return Added(state.versions[fact.number - 1], sequence, replayed=True)

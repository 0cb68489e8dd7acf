"""Events to bytes and back: msgspec JSON. Unknown fields of facts are ignored, unknown types are an error."""

from __future__ import annotations

from typing import Any

import msgspec

from trialbook.aggregates import EVENT_TYPES
from trialbook.clock import Clock
from trialbook.domain.run import events as run_events
from trialbook.envelope import AggregateId, Event, Metadata
from trialbook.ids import IdSource
from trialbook.subjects import HELD
from trialbook.times import rfc3339
from trialbook.upcasts import CHAIN, upcast

encode = msgspec.json.Encoder().encode
decode_event = msgspec.json.Decoder(Event).decode
_DECODERS: dict[str, msgspec.json.Decoder[Any]] = {t: msgspec.json.Decoder(cls) for t, cls in EVENT_TYPES.items()}


class UnknownEvent(ValueError):
    """A fact whose type or content this version of the code cannot read: poison, to be parked and reported."""


def fact_of(event: Event) -> Any:
    """The typed data of an event, upcast to its current version. Raises ``UnknownEvent``."""
    decoder = _DECODERS.get(event.type)
    try:
        if decoder is not None and event.type not in CHAIN:
            return decoder.decode(event.data)
        type_, data = upcast(event.type, msgspec.json.decode(event.data))
        return msgspec.convert(data, EVENT_TYPES[type_])
    except KeyError:
        raise UnknownEvent(f"unknown event type {event.type!r}") from None
    except (msgspec.MsgspecError, ValueError) as error:
        raise UnknownEvent(f"unreadable data of {event.type!r}: {error}") from error


def event_of(
    aggregate: AggregateId, fact: Any, meta: Metadata, ids: IdSource, clock: Clock, datakey: str = ""
) -> Event:
    """Wrap a decided fact in its envelope; ``datakey`` names the key that the ledger seals its personal members with.

    A fact that nothing is known to have caused begins a story of its own: it is its own correlation and causation.
    """
    id_ = ids.new()
    correlation = meta.correlation or id_
    return Event(
        specversion="1.0",
        id=id_,
        source=meta.source,
        type=fact.TYPE,
        subject=aggregate.subject,
        time=rfc3339(clock.now()),
        actor=meta.actor,
        correlationid=correlation,
        causationid=meta.causation or correlation,
        traceparent=meta.traceparent,
        datakey=datakey,
        data=msgspec.Raw(encode(fact)),
    )


def route_of(fact: Any) -> tuple[str, ...]:
    """Extra subject tokens of a fact: pool and priority of what enters a queue, so that runners can filter."""
    if isinstance(fact, run_events.Submitted):
        return (HELD if fact.held else fact.spec.pool, fact.spec.priority)
    if isinstance(fact, run_events.Queued):
        return (HELD if fact.held else fact.pool, fact.priority)
    return ()

"""The channels of facts and signals: one message per fact type and version, one per kind of signal."""

from __future__ import annotations

from typing import Any, get_args

import msgspec

from trialbook import subjects
from trialbook.aggregates import EVENT_TYPES
from trialbook.domain.run import events as run_events
from trialbook.envelope import AggregateId, Event
from trialbook.signals import SIGNAL_TYPES
from trialbook_deploy.asyncapi.schemas import parameters, ref, schemas, summary

MEDIA_TYPE = "application/cloudevents+json"
ROUTED = (run_events.Submitted.TYPE, run_events.Queued.TYPE)
"""Facts whose subject ends with pool and priority."""
REPUBLISHED = "Republished"
HEADERS: dict[str, Any] = {
    "type": "object",
    "description": "What the server adds to a republished message.",
    "properties": {
        "Nats-Stream": {"type": "string", "description": "FACTS or SIGNALS."},
        "Nats-Subject": {"type": "string", "description": "The stored message's subject."},
        "Nats-Sequence": {"type": "string", "description": "Its place in the stream."},
        "Nats-Last-Sequence": {
            "type": "string",
            "description": "The place of the message before it on the same subject, 0 if it is the first.",
        },
        "Nats-Time-Stamp": {"type": "string", "format": "date-time"},
    },
}


def channels() -> tuple[dict[str, Any], dict[str, Any], dict[str, dict[str, Any]]]:
    """Channels, operations, and components by kind."""
    made: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    _, found = schemas([_envelope()])
    components: dict[str, dict[str, Any]] = {"messages": {}, "schemas": {**found, REPUBLISHED: HEADERS}}
    for address, type_, cls in (*_facts(), *_signals()):
        message = f"{type_}.event"
        _describe(components, message, type_, cls)
        kind, name, _ = type_.split(".")
        key = f"{address.split('.')[1]}.{kind}.{name}"
        channel = made.setdefault(key, {"address": address, "parameters": parameters(address), "messages": {}})
        channel["messages"][type_] = ref("components", "messages", message)
        operation = operations.setdefault(
            key, {"action": "send", "channel": ref("channels", key), "summary": summary(cls), "messages": []}
        )
        operation["messages"].append(ref("channels", key, "messages", type_))
    return made, operations, components


def _envelope() -> Any:
    """``Event`` without its data, which each message describes itself; msgspec writes no schema for its default."""
    members = [
        (field.name, field.type, *(() if field.required else (field.default,)))
        for field in msgspec.structs.fields(Event)
        if field.name != "data"
    ]
    return msgspec.defstruct("Event", members, namespace={"__doc__": Event.__doc__})


def _facts() -> list[tuple[str, str, Any]]:
    """Address, type and class of every fact in every version there is."""
    found = []
    for type_, cls in EVENT_TYPES.items():
        aggregate = AggregateId("{workspace}", type_.split(".", maxsplit=1)[0], "{id}")
        route = ("{pool}", "{priority}") if type_ in ROUTED else ()
        found.append((subjects.tap(subjects.fact(aggregate, type_, route)), type_, cls))
    return found


def _signals() -> list[tuple[str, str, Any]]:
    kinds: tuple[subjects.SignalKind, ...] = get_args(subjects.SignalKind)
    types = {type_.split(".")[1]: type_ for type_ in SIGNAL_TYPES}
    return [
        (subjects.tap(subjects.signal("{workspace}", "{run}", kind)), types[kind], SIGNAL_TYPES[types[kind]])
        for kind in kinds
    ]


def _describe(components: dict[str, dict[str, Any]], message: str, type_: str, cls: Any) -> None:
    """The message of one type: the envelope, with the type's own data. Structs of one name differ between kinds, so
    the data's schema is named by the wire type.
    """
    (data,), found = schemas([cls])
    own = found.pop(cls.__name__)
    if data != ref("components", "schemas", cls.__name__):
        raise ValueError(f"{type_} has no schema of its own: {data}")
    for name, schema in found.items():
        if components["schemas"].setdefault(name, schema) != schema:
            raise ValueError(f"{type_} needs another {name} than the facts before it")
    components["schemas"][type_] = {**own, "title": type_}
    components["messages"][message] = {
        "name": type_,
        "title": type_,
        "summary": summary(cls),
        "contentType": MEDIA_TYPE,
        "headers": ref("components", "schemas", REPUBLISHED),
        "payload": {
            "allOf": [
                ref("components", "schemas", "Event"),
                {
                    "required": ["data"],
                    "properties": {"type": {"const": type_}, "data": ref("components", "schemas", type_)},
                },
            ]
        },
    }

"""The envelope of every event: a CloudEvent 1.0 in structured JSON mode."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    OptionalRaw = msgspec.Raw | None
else:
    # msgspec cannot decode into a union with Raw: a missing member is None, an explicit null is Raw(b"null").
    OptionalRaw = msgspec.Raw


PERSONAL_KINDS = frozenset({"run", "name", "file", "dataset", "model"})
"""Aggregates that may hold personal data of a data subject; workspaces, lanes and the like never do."""


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One fact as it stands in the ledger. ``data`` stays raw JSON until its type is known.

    ``id`` is unique and doubles as the NATS message id; ``type`` is ``<aggregate>.<name>.v<n>``; ``subject`` is
    ``<workspace>/<aggregate>/<id>``; ``time`` is RFC 3339 UTC. The lower-case extension attributes follow the
    CloudEvents naming rule: ``actor`` who did it, ``correlationid`` the request it belongs to, ``causationid`` the
    event or command that caused it, ``traceparent`` the W3C trace context, ``datakey`` the key that seals its personal
    members (see ``trialbook.vault``; empty: nothing is sealed).
    """

    specversion: str
    id: str
    source: str
    type: str
    subject: str
    time: str
    actor: str = ""
    correlationid: str = ""
    causationid: str = ""
    traceparent: str = ""
    datakey: str = ""
    data: msgspec.Raw = msgspec.Raw(b"{}")


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """An event with its place in the ledger."""

    sequence: int
    event: Event


class Metadata(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller knows about the cause of the events it appends."""

    source: str
    actor: str = "anonymous"
    correlation: str = ""
    causation: str = ""
    traceparent: str = ""
    datakey: str = ""
    """For what is created: the key of the data subject whose personal data it holds."""

    def datakey_of(self, kind: str) -> str:
        """The key for an aggregate of this kind that is created now; empty for kinds that hold no personal data."""
        return self.datakey if kind in PERSONAL_KINDS else ""


class AggregateId(msgspec.Struct, frozen=True):
    """Names one stream of facts: a consistency boundary."""

    workspace: str
    kind: str
    id: str

    @property
    def subject(self) -> str:
        """The CloudEvents ``subject`` attribute."""
        return f"{self.workspace}/{self.kind}/{self.id}"


Json = dict[str, Any] | list[Any] | str | int | float | bool | None

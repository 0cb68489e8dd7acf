"""Idempotency-Key: the key gives the id, so that a repeated creation meets the thing that the first one created."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from trialbook.envelope import AggregateId
from trialbook.errors import Conflict, Invalid
from trialbook.ids import derived_id

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
_KEY = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?")


class Headed(Protocol):
    """What carries headers: an HTTP request, or a message on NATS. Names are looked up in any case."""

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers."""
        ...


class Idempotency(msgspec.Struct, frozen=True, kw_only=True):
    """``id`` of what is created, ``command_id`` to recognise it by, ``digest`` (sha256) of what was asked."""

    id: str
    command_id: str
    digest: str

    @property
    def keyed(self) -> bool:
        """Whether the client gave a key."""
        return bool(self.command_id)


def digest_of(body: Any) -> str:
    """sha256 of a JSON value, the same for every order of keys and every spacing."""
    return hashlib.sha256(msgspec.json.encode(body, order="sorted")).hexdigest()


def key_of(request: Headed) -> str:
    """The header, or empty. Raises ``Invalid`` (code ``invalid_idempotency_key``)."""
    key = request.headers.get(HEADER)
    if key is None:
        return ""
    if not _KEY.fullmatch(key):
        raise Invalid("invalid_idempotency_key", "An Idempotency-Key has 1 to 255 visible ASCII characters.")
    return key


def identify(request: Headed, workspace: str, actor: str, route: str, body: Any, new_id: str) -> Idempotency:
    """Id, command id and digest for a creation; without a key the id is ``new_id`` and nothing is remembered.

    ``route`` names the operation (not the path: one handler mounted twice shares its keys); ``body`` is JSON-able.
    """
    key = key_of(request)
    if not key:
        return Idempotency(id=new_id, command_id="", digest="")
    id_ = derived_id(workspace, actor, route, key)
    return Idempotency(id=id_, command_id=f"key-{id_}", digest=digest_of(body))


def command_id(request: Headed, workspace: str, actor: str, route: str, run: str) -> str:
    """A command id for an action on something that exists; empty without a key."""
    key = key_of(request)
    return f"key-{derived_id(workspace, actor, route, run, key)}" if key else ""


def same_request(found_digest: str, asked: Idempotency, aggregate: AggregateId) -> None:
    """Raises ``Conflict`` (code ``idempotency_key_reused``) when the first request under this key was another one."""
    if found_digest != asked.digest:
        raise Conflict(
            "idempotency_key_reused",
            "This Idempotency-Key was used before with another request body; use a new key.",
            id=aggregate.id,
        )

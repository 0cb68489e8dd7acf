"""Seal and unseal the personal members of one event. The box is bound to the event's id, type and subject."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import msgspec
from msgspec.structs import replace

from trialbook.envelope import Event
from trialbook.vault.keys import Lost, decrypt, encrypt
from trialbook.vault.personal import PERSONAL

BOX = "sealed"
"""The member of ``data`` that holds the box: base64 of nonce and ciphertext."""

_json = msgspec.json


def _bound_to(event: Event) -> bytes:
    return f"{event.id}|{event.type}|{event.subject}".encode()


def seal(event: Event, key: bytes) -> Event:
    """The event as it goes into the ledger: personal members replaced by placeholders, and the box beside them."""
    members = PERSONAL.get(event.type)
    if not members:
        return event
    data: dict[str, Any] = _json.decode(event.data)
    taken: list[tuple[tuple[str, ...], Any]] = []
    for path, placeholder in members.items():
        holder = _holder(data, path)
        if holder is None or path[-1] not in holder:
            continue
        taken.append((path, holder[path[-1]]))
        if placeholder is None:
            del holder[path[-1]]
        else:
            holder[path[-1]] = placeholder
    if not taken:
        return event
    box = encrypt(key, _json.encode(taken), _bound_to(event))
    return replace(event, data=msgspec.Raw(_json.encode({**data, BOX: base64.b64encode(box).decode()})))


def unseal(event: Event, key: bytes) -> Event:
    """The event as it was before ``seal``. Raises ``Lost`` when box and key do not belong together."""
    data: dict[str, Any] = _json.decode(event.data)
    box = data.pop(BOX, None)
    if box is None:
        return event
    try:
        plain = decrypt(key, base64.b64decode(box, validate=True), _bound_to(event))
    except (binascii.Error, TypeError, ValueError) as error:
        raise Lost("a sealed member is damaged") from error
    taken: list[tuple[tuple[str, ...], Any]] = _json.decode(plain, type=list[tuple[tuple[str, ...], Any]])
    for path, value in taken:
        holder = _holder(data, path)
        if holder is None:
            raise Lost("a sealed member has no place in its fact")
        holder[path[-1]] = value
    return replace(event, data=msgspec.Raw(_json.encode(data)))


def _holder(data: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any] | None:
    for step in path[:-1]:
        inner = data.get(step)
        if not isinstance(inner, dict):
            return None
        data = inner
    return data

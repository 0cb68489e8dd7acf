"""Ids as this API writes them: UUIDs with dashes; inside they are 32 hex digits."""

from __future__ import annotations

from uuid import UUID

from trialbook.errors import Invalid
from trialbook.ids import parse_id


def shown(id_: str) -> str:
    """An id for clients."""
    return str(UUID(id_))


def given(text: str) -> str | None:
    """An id from a client, or None for what is none."""
    try:
        return parse_id(text)
    except Invalid:
        return None

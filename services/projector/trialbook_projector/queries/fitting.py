"""Pages that fit into a reply: items of hundreds of kilobytes come fewer at a time, and nobody has to know."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from trialbook.queries import EventList, ItemList, Query, RunFacts, RunList, RunLogs, RunRows
from trialbook_projector.queries.reading import Reading

PAGED = (EventList, ItemList, RunFacts, RunList, RunLogs, RunRows)
"""Whoever asks these goes on behind the last item as long as the page says that there is more."""
_encode = msgspec.json.Encoder().encode


def fitted(answer: Callable[[Reading, Any], Any], reading: Reading, query: Query, room: int) -> bytes:
    """The encoded answer, of a page with as many of its items as fit into ``room`` bytes; one item may be too large."""
    found = answer(reading, query)
    encoded = _encode(found)
    while len(encoded) > room and isinstance(query, PAGED) and (items := len(found.items)) > 1:
        fewer = min(items - 1, items * room // len(encoded) * 7 // 8)
        query = msgspec.structs.replace(query, limit=max(1, fewer))
        found = answer(reading, query)
        encoded = _encode(found)
    return encoded

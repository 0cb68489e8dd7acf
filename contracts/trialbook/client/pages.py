"""Reading lists to their end, page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from trialbook.client.results import Results

T = TypeVar("T")


async def every(page: Callable[[str | int | None], Awaitable[Results[T]]]) -> AsyncIterator[T]:
    """All items; ``page`` fetches one page after a cursor (None: the first). A cursor that stands still ends it."""
    cursor: str | int | None = None
    while True:
        found = await page(cursor)
        for item in found.items:
            yield item
        if found.next_cursor is None or found.next_cursor == cursor:
            return
        cursor = found.next_cursor

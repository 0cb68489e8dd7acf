"""The ledger as lines, however long it is: page after page from the projector, one ahead of what the client takes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec

from trialbook.errors import TimedOut, Unavailable
from trialbook.queries import EventLines, LinesEnd
from trialbook_gateway.services import Services

LINES_AT_ONCE = 20_000
ANSWER_S = 10.0
PATIENCE_S = 30.0
"""A projector may be restarted while somebody reads; so long it is waited for before the connection is broken off."""
PAUSE_S = 0.2


class LinesPage(msgspec.Struct):
    """Lines of facts, each with its line feed, and where to go on."""

    lines: bytes
    end: LinesEnd


_end = msgspec.json.Decoder(LinesEnd).decode


async def first_page(services: Services, workspace: str, query: EventLines) -> LinesPage:
    """The first answer. Raises what is refused."""
    body, _ = await services.ask.ask_bytes(workspace, query, ANSWER_S)
    cut = body.rfind(b"\n", 0, len(body) - 1) + 1
    return LinesPage(body[:cut], _end(body[cut:]))


async def following(services: Services, workspace: str, query: EventLines, page: LinesPage) -> AsyncIterator[bytes]:
    """The lines of a page and of all that follow, up to the end that the first one named.

    Raises ``Unavailable`` when no projector answers for long, which breaks the connection off.
    """
    up_to = page.end.up_to
    while True:
        ahead = None
        if page.end.more:
            asked = msgspec.structs.replace(query, after=page.end.after, up_to=up_to)
            ahead = asyncio.create_task(_patiently(services, workspace, asked), name="ledger-lines")
        try:
            if page.lines:
                yield page.lines
            if ahead is None:
                return
            page = await ahead
        finally:
            if ahead is not None and not ahead.done():
                ahead.cancel()


async def _patiently(services: Services, workspace: str, query: EventLines) -> LinesPage:
    deadline = services.clock.monotonic() + PATIENCE_S
    while True:
        try:
            return await first_page(services, workspace, query)
        except (Unavailable, TimedOut):
            if services.clock.monotonic() > deadline:
                raise
            await asyncio.sleep(PAUSE_S)

"""A live connection that outlives its connections: server-sent events, resumed where they broke off."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx

from trialbook.client.sse import EventTooLarge, Parser, ServerEvent, events
from trialbook.client.transport import Pauses, Query, Transport, unreachable
from trialbook.errors import RateLimited, Refusal, TimedOut, Unavailable

PATIENCE_S = 60.0
LAST_EVENT_ID = "Last-Event-ID"


async def feed(
    transport: Transport, path: str, query: Query | None = None, *, last_id: str = "", patience_s: float = PATIENCE_S
) -> AsyncIterator[ServerEvent]:
    """Events of ``path`` for as long as the caller reads, starting after the event ``last_id``.

    When the connection breaks or the server ends it, a new one continues after the last event that was handed out.
    Raises what the server refuses for good, and ``Unavailable`` when it was away for ``patience_s`` seconds.
    """
    pauses: Pauses | None = None
    while True:
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        if last_id:
            headers[LAST_EVENT_ID] = last_id
        parser = Parser()
        parser.last_id = last_id
        try:
            async with transport.stream(path, query=query, headers=headers, live=True) as response:
                async for event in events(response.aiter_bytes(), parser):
                    pauses = None
                    last_id = event.id
                    yield event
        except (httpx.TransportError, EventTooLarge) as error:
            refusal: Refusal = unreachable(transport.base_url, error)
        except (Unavailable, RateLimited, TimedOut) as error:
            refusal = error
        else:
            refusal = Unavailable("stream_ended", f"{transport.base_url}{path} ended the live connection at once.")
        pauses = pauses or Pauses(patience_s)
        await pauses.pause_or_raise(refusal, parser.retry_s or refusal.extra.get("retry_after_s"))

"""From a follower to a connection: time limits, keepalives, and the resume message at an early end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Literal, Protocol

from trialbook.errors import Refusal
from trialbook_gateway.live.follower import TooSlow
from trialbook_gateway.live.hub import Hub
from trialbook_gateway.live.items import Item
from trialbook_gateway.settings import Settings

End = Literal["final", "slow", "expired", "stopping", "unavailable"]


class Follower(Protocol):
    """A RunFollower or a FactsFollower."""

    @property
    def position(self) -> object:
        """Where it began, or the last item that was handed out; as text the cursor to resume there."""
        ...

    def batches(self, idle_s: float) -> AsyncIterator[list[Item]]:
        """Items in order; an empty batch when nothing came for ``idle_s`` seconds."""
        ...

    def cursor_after(self, item: Item) -> str:
        """The cursor to resume after an item that is being handed out."""
        ...


async def deliver(
    follower: Follower,
    hub: Hub,
    settings: Settings,
    send: Callable[[Item, str], Awaitable[None]],
    keep_alive: Callable[[], Awaitable[None]],
) -> End:
    """Send until the end and say why it ended. Each send has its time limit: a client that takes nothing is slow."""
    loop = asyncio.get_running_loop()
    expires = loop.time() + settings.live_life_s
    try:
        async for batch in follower.batches(min(settings.live_keepalive_s, settings.live_life_s)):
            if hub.closing.is_set():
                return "stopping"
            async with asyncio.timeout(settings.live_send_timeout_s):
                if not batch:
                    await keep_alive()
                for item in batch:
                    await send(item, follower.cursor_after(item))
            if batch and batch[-1].final:
                return "final"
            if loop.time() > expires:
                return "expired"
    except (TooSlow, TimeoutError):
        return "slow"
    except Refusal:
        return "unavailable"  # no projector could tell the past in time; the client comes back with its cursor
    return "final"

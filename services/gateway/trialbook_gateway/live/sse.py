"""Live streams as server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from trialbook_gateway.live.delivery import Follower, deliver
from trialbook_gateway.live.items import Item
from trialbook_gateway.services import Services

MEDIA_TYPE = "text/event-stream"
RETRY_MS = 1000
_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]


class EventStream(Response):
    """A response that delivers a follower's items until the final status, or until it says ``resume``.

    ``opened`` is entered before the response begins, so that refusals are still problems; ``leave`` releases it.
    """

    def __init__(self, services: Services, follower: Follower, leave: Callable[[], Awaitable[None]]) -> None:
        super().__init__(media_type=MEDIA_TYPE)
        self._services, self._follower, self._leave = services, follower, leave

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve until one side ends it."""
        assert scope["type"] == "http"
        try:
            with self._services.hub.client("sse"):
                await send({"type": "http.response.start", "status": 200, "headers": list(_HEADERS)})
                sending = asyncio.create_task(self._deliver(send), name="sse-send")
                listening = asyncio.create_task(_gone(receive), name="sse-listen")
                try:
                    await asyncio.wait((sending, listening), return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for task in (sending, listening):
                        task.cancel()
                    results = await asyncio.gather(sending, listening, return_exceptions=True)
            _raise_unexpected(results)
        finally:
            await self._leave()

    async def _deliver(self, send: Send) -> None:
        last = str(self._follower.position)

        async def write(text: str, more: bool = True) -> None:
            await send({"type": "http.response.body", "body": text.encode(), "more_body": more})

        async def send_item(item: Item, cursor: str) -> None:
            nonlocal last
            await write(f"id: {cursor}\nevent: {item.kind}\ndata: {item.text(cursor)}\n\n")
            last = cursor

        async def keep_alive() -> None:
            await write(": still here\n\n")

        await write(f"retry: {RETRY_MS}\n\n")
        services = self._services
        end = await deliver(self._follower, services.hub, services.settings, send_item, keep_alive)
        if end == "final":
            await write("", more=False)
            return
        if end == "slow":
            services.telemetry.live_slow.inc()
        message = msgspec.json.encode({"type": "resume", "cursor": last, "data": {"reason": end}}).decode()
        async with asyncio.timeout(services.settings.live_send_timeout_s):
            await write(f"event: resume\ndata: {message}\n\n", more=False)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _raise_unexpected(results: Sequence[object]) -> None:
    for result in results:
        if isinstance(result, Exception) and not isinstance(result, OSError | TimeoutError):
            raise result


async def opened(services: Services, following: AbstractAsyncContextManager[Follower]) -> EventStream:
    """Enter ``following`` (refusals are raised) and give the response that delivers it and leaves it at the end."""
    follower = await following.__aenter__()

    async def leave() -> None:
        await following.__aexit__(None, None, None)

    return EventStream(services, follower, leave)

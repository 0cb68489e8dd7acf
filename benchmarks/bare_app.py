"""Applications for uvicorn that do as little as possible."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[dict[str, Any]]]
BODY = b'{"id":"0","status":"completed"}'
HEADERS = [(b"content-type", b"application/json"), (b"content-length", str(len(BODY)).encode())]


async def empty(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Answers every request with the same few bytes."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
        return
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": BODY})


class FanOut:
    """Sends what one WebSocket client says to all others: each message is sent as it came in."""

    def __init__(self) -> None:
        self._listeners: set[Send] = set()

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Handle one connection; the path ``/emit`` speaks, all others listen."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        await receive()
        await send({"type": "websocket.accept"})
        speaks = scope["path"] == "/emit"
        if not speaks:
            self._listeners.add(send)
        try:
            while (message := await receive())["type"] != "websocket.disconnect":
                if speaks:
                    await self._pass_on(message["text"])
        finally:
            self._listeners.discard(send)

    async def _pass_on(self, text: str) -> None:
        message = {"type": "websocket.send", "text": text}
        for send in tuple(self._listeners):
            await send(message)


fan_out = FanOut()


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return

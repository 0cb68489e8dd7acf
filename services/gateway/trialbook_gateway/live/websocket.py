"""Live streams over WebSocket."""

from __future__ import annotations

import asyncio

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from trialbook_gateway.auth import accepted_subprotocol
from trialbook_gateway.live.delivery import End, Follower, deliver
from trialbook_gateway.live.items import Item
from trialbook_gateway.services import Services

NORMAL, NOT_TEXT, POLICY, TRY_AGAIN = 1000, 1003, 1008, 1013
CLOSE_S = 2.0


class _ClientFrame(msgspec.Struct, forbid_unknown_fields=True):
    """All that a client may say."""

    type: str


class _BadFrame(Exception):
    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


async def serve(websocket: WebSocket, services: Services, follower: Follower) -> None:
    """Accept, send everything, then close: 1000 after the final status, 1013 with a ``resume`` message before it."""
    await websocket.accept(subprotocol=accepted_subprotocol(websocket.scope))
    last = str(follower.position)

    async def send(item: Item, cursor: str) -> None:
        nonlocal last
        await websocket.send_text(item.text(cursor))
        last = cursor

    async def nothing() -> None:
        """The protocol's own pings keep the connection alive."""

    sending = asyncio.create_task(deliver(follower, services.hub, services.settings, send, nothing), name="ws-send")
    listening = asyncio.create_task(_listen(websocket), name="ws-listen")
    try:
        await asyncio.wait((sending, listening), return_when=asyncio.FIRST_COMPLETED)
        if sending.done():
            await _end(websocket, services, _result(sending), last)
        else:
            await _after_listening(websocket, listening)
    finally:
        for task in (sending, listening):
            task.cancel()
        await asyncio.gather(sending, listening, return_exceptions=True)


def _result(sending: asyncio.Task[End]) -> End | None:
    """Why it ended; None when the client was gone."""
    try:
        return sending.result()
    except (WebSocketDisconnect, RuntimeError, OSError):
        return None


async def _after_listening(websocket: WebSocket, listening: asyncio.Task[None]) -> None:
    error = listening.exception()
    if isinstance(error, _BadFrame):
        await websocket.close(error.code, error.reason)
    elif error is not None and not isinstance(error, WebSocketDisconnect):
        raise error


async def _end(websocket: WebSocket, services: Services, end: End | None, last: str) -> None:
    if end is None or websocket.application_state is not WebSocketState.CONNECTED:
        return
    try:
        async with asyncio.timeout(CLOSE_S):
            if end == "final":
                await websocket.close(NORMAL)
                return
            if end == "slow":
                services.telemetry.live_slow.inc()
            message = {"type": "resume", "cursor": last, "data": {"reason": end}}
            await websocket.send_text(msgspec.json.encode(message).decode())
            await websocket.close(TRY_AGAIN, f"resume: {end}")
    except (TimeoutError, WebSocketDisconnect, RuntimeError, OSError):
        return  # the client is gone or takes nothing any more; the server drops the connection


async def _listen(websocket: WebSocket) -> None:
    """Answer pings of the application; anything else a client sends ends the connection."""
    while True:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            return
        if message.get("text") is None:
            raise _BadFrame(NOT_TEXT, "only text frames are understood")
        try:
            frame = msgspec.json.decode(message["text"], type=_ClientFrame)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            raise _BadFrame(POLICY, 'send {"type":"ping"} or nothing') from None
        if frame.type != "ping":
            raise _BadFrame(POLICY, 'send {"type":"ping"} or nothing')
        await websocket.send_text('{"type":"pong"}')

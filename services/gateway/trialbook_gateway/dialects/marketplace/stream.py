"""One client's stream: entries as they are committed, from the gateway's live hub, then the final status."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect

from trialbook.errors import Refusal
from trialbook.queries import LogView
from trialbook_gateway.dialects.marketplace.experiments import read
from trialbook_gateway.dialects.marketplace.logs import cursor_text, entry_of, parse_cursor, parse_since, time_text
from trialbook_gateway.live.follower import RunFollower, TooSlow
from trialbook_gateway.live.items import Item, Position, Status
from trialbook_gateway.services import Caller, Services

NORMAL, RESTARTING, UNAVAILABLE = 1000, 1012, 1013
ABNORMAL = 1006
_encode = msgspec.json.Encoder().encode


class Start(msgspec.Struct, frozen=True):
    """Where a client begins: strictly after a position and, when given, strictly after a time."""

    position: int = 0
    newer_than: str = ""
    with_cursor: bool = False


def start_of(since: str | None, cursor: str | None) -> Start:
    """From the query of the handshake; ``cursor`` goes before ``since``. Raises 400 with the documented texts."""
    if cursor is not None:
        return Start(position=parse_cursor(cursor), with_cursor=True)
    return Start(newer_than=time_text(parse_since(since))) if since is not None else Start()


class Stream:
    """Serves one accepted socket. A reader that is too slow for the shared feed is served from storage."""

    def __init__(self, services: Services, caller: Caller, socket: WebSocket, run: str, start: Start) -> None:
        self._services, self._caller, self._socket, self._run, self._start = services, caller, socket, run, start
        self._position = start.position

    async def run(self) -> None:
        """Until the final status, or until the client leaves."""
        sender = asyncio.create_task(self._send_all(), name="marketplace-logs")
        listener = asyncio.create_task(self._until_gone(), name="marketplace-logs-client")
        try:
            await asyncio.wait({sender, listener}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sender, listener):
                task.cancel()
            results = await asyncio.gather(sender, listener, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception) and not isinstance(result, WebSocketDisconnect):
                raise result

    @staticmethod
    def error(text: str) -> str:
        """An error message."""
        return _encode({"type": "error", "error": text}).decode()

    async def _until_gone(self) -> None:
        """What a client says is ignored; its leaving is not."""
        while (await self._socket.receive())["type"] != "websocket.disconnect":
            continue

    async def _send_all(self) -> None:
        try:
            while not await self._follow():
                continue
        except Refusal as refusal:
            await self._send(self.error(refusal.detail))
            await self._socket.close(UNAVAILABLE)

    async def _follow(self) -> bool:
        """Hand out everything after the position; False when the feed has gone too far ahead to go on with it."""
        position = Position(0, self._position)
        hub, workspace = self._services.hub, self._caller.workspace
        async with hub.follow_run(workspace, self._run, position=position, kinds=("log",)) as follower:
            try:
                return await self._hand_out(follower)
            except TooSlow:
                return False

    async def _hand_out(self, follower: RunFollower) -> bool:
        async for batch in follower.batches(self._services.settings.live_keepalive_s):
            if self._services.hub.closing.is_set():
                await self._socket.close(RESTARTING)
                return True
            for item in batch:
                if item.kind == "log":
                    await self._send_entry(item)
                elif isinstance(item.value, Status) and item.value.final:
                    await self._send_status(item.value)
                    return True
        return False

    async def _send_status(self, final: Status) -> None:
        """Say how it ended, once whoever then asks for the status will be told the same."""
        await read(self._services, self._caller.workspace, self._run, final.sequence)
        status = "completed" if final.status == "completed" else "failed"
        await self._send(_encode({"type": "status", "status": status}).decode())
        await self._socket.close(NORMAL)

    async def _send_entry(self, item: Item) -> None:
        view = item.value
        assert isinstance(view, LogView), "log items hold lines"
        if view.cursor <= self._position:
            return
        self._position = view.cursor
        if view.time <= self._start.newer_than:
            return
        message: dict[str, Any] = {"type": "log", "log": entry_of(view)}
        if self._start.with_cursor:
            message["cursor"] = cursor_text(view.cursor)
        await self._send(_encode(message).decode())

    async def _send(self, text: str) -> None:
        """Raises ``WebSocketDisconnect`` when the client is gone, however the server says so."""
        try:
            await self._socket.send_text(text)
        except (RuntimeError, OSError) as gone:
            raise WebSocketDisconnect(ABNORMAL) from gone

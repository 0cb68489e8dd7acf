"""Every request has an id: accepted or generated, echoed on every reply, kept as the correlation of the facts."""

from __future__ import annotations

import re

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from trialbook.ids import IdSource

HEADER = "X-Request-ID"
_RAW = HEADER.lower().encode()
_ACCEPTED = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")
_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


def request_id_of(given: bytes) -> str:
    """An id that a client gave; empty when it is none that we accept."""
    return given.decode() if _ACCEPTED.fullmatch(given) else ""


def traceparent_of(given: bytes) -> str:
    """A W3C trace context that a client gave; empty when it is none."""
    return given.decode() if _TRACEPARENT.fullmatch(given) else ""


class RequestId:
    """Pure ASGI middleware; sets ``scope["state"]["request_id"]`` and ``["traceparent"]``."""

    def __init__(self, app: ASGIApp, ids: IdSource) -> None:
        self._app, self._ids = app, ids

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        given, trace = b"", b""
        for name, value in scope["headers"]:
            if name == _RAW:
                given = value
            elif name == b"traceparent":
                trace = value
        request_id = request_id_of(given) or self._ids.new()
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        state["traceparent"] = traceparent_of(trace)

        async def send_with_id(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.accept", "websocket.http.response.start"):
                MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        await self._app(scope, receive, send_with_id)

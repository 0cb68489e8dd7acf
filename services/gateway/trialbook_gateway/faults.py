"""A fault of ours is answered in the path's shape, logged once under the request's id, and the connection is kept."""

from __future__ import annotations

import logging
from typing import Literal

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from trialbook_gateway.limits import Render
from trialbook_gateway.problems import internal, problem, status_of

log = logging.getLogger(__name__)
INTERNAL_CLOSE = 1011
State = Literal["unanswered", "begun", "ended"]


class Faults:
    """Pure ASGI. What a dialect has answered itself is only logged: its framework raises it on for the server.

    An answer that had begun cannot be mended: it stays incomplete, for which the server closes the connection.
    """

    def __init__(self, app: ASGIApp, render: Render = problem) -> None:
        self._app, self._render = app, render

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        state: State = "unanswered"

        async def noted(message: Message) -> None:
            nonlocal state
            await send(message)
            state = "ended" if _ends(message) else "begun"

        try:
            await self._app(scope, receive, noted)
        except Exception as error:  # noqa: BLE001 -- told in full and answered
            _tell(scope, error, state)
            if state == "unanswered":
                reply = self._render(scope, internal(error))
                if scope["type"] == "websocket":
                    await WebSocket(scope, receive, send).send_denial_response(reply)
                else:
                    await reply(scope, receive, send)
            elif scope["type"] == "websocket" and state == "begun":
                await send({"type": "websocket.close", "code": INTERNAL_CLOSE, "reason": "internal_error"})


def _ends(message: Message) -> bool:
    kind = message["type"]
    return kind == "websocket.close" or (kind.endswith("http.response.body") and not message.get("more_body", False))


def _tell(scope: Scope, error: Exception, state: State) -> None:
    """Once, without the query, which may hold secrets. A part that is down is no fault of ours: no traceback."""
    what = scope.get("method", "WebSocket"), scope["path"], scope.get("state", {}).get("request_id", "")
    if status_of(internal(error)) == 503:
        log.warning("could not answer %s %r, request %s: %r", *what, error)
    else:
        partly = " when a part of it was sent" if state == "begun" else ""
        log.error("failed to answer %s %r, request %s%s", *what, partly, exc_info=error)

"""Limits on what a client may send, as pure ASGI: size of bodies (also chunked ones), characters and size of URLs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from trialbook.errors import Refusal
from trialbook_gateway.problems import HttpRefusal, problem

Render = Callable[[Scope, Refusal], Response]
MAX_QUERY_BYTES = 16 * 1024
IDLE_S = 30.0
LEAST_BYTES_S = 1024


def too_large(max_bytes: int) -> HttpRefusal:
    """The refusal of a body."""
    return HttpRefusal(
        413, "body_too_large", f"At most {max_bytes} bytes are accepted here; send less at once.", max_bytes=max_bytes
    )


def too_slow(idle_s: float) -> HttpRefusal:
    """The refusal of a body that does not come; the connection is closed, so that nobody can hold many."""
    detail = (
        f"The body stopped coming for {idle_s:g} s, or came too slowly: {LEAST_BYTES_S} bytes a second are the least."
    )
    return HttpRefusal(408, "body_timeout", detail, {"Connection": "close"})


def fault_of_url(scope: Scope) -> HttpRefusal | None:
    """A refusal for a URL with NUL or an oversized query, else None."""
    if "\x00" in scope["path"] or b"%00" in scope["query_string"] or b"\x00" in scope["query_string"]:
        return HttpRefusal(422, "invalid_text", "NUL characters are not allowed in URLs.")
    if len(scope["query_string"]) > MAX_QUERY_BYTES:
        return HttpRefusal(
            414, "query_too_long", f"The query may have at most {MAX_QUERY_BYTES} bytes; ask for less at once."
        )
    return None


class BodyLimit:
    """Refuses bodies over ``max_bytes(scope)`` bytes, and slow ones: of which nothing comes for ``idle_s`` seconds, or
    that were waited for longer than that and a second for each ``LEAST_BYTES_S``, all in all.

    ``render`` gives the refusal the shape of its API.
    """

    def __init__(
        self, app: ASGIApp, max_bytes: Callable[[Scope], int], render: Render = problem, idle_s: float = IDLE_S
    ) -> None:
        self._app, self._max_bytes, self._render, self._idle_s = app, max_bytes, render, idle_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._max_bytes(scope)
        fault = fault_of_url(scope) or _announced(scope, limit)
        if fault is not None:
            await self._render(scope, fault)(scope, receive, send)
            return
        received, complete, waited_s = 0, False, 0.0
        loop = asyncio.get_running_loop()

        async def counted() -> Message:
            nonlocal received, complete, waited_s
            if complete:
                return await receive()
            began, left_s = loop.time(), self._idle_s + received / LEAST_BYTES_S - waited_s
            try:
                async with asyncio.timeout(min(self._idle_s, left_s)):
                    message = await receive()
            except TimeoutError:
                raise too_slow(self._idle_s) from None
            waited_s += loop.time() - began
            complete = not message.get("more_body", False)
            if message["type"] == "http.request":
                received += len(message.get("body", b""))
                if received > limit:
                    raise too_large(limit)  # the app that reads the body renders it like every refusal
            return message

        await self._app(scope, counted, send)


def _announced(scope: Scope, limit: int) -> HttpRefusal | None:
    for name, value in scope["headers"]:
        if name == b"content-length":
            if not value.isdigit():
                return HttpRefusal(400, "malformed_header", "Content-Length is not a number.")
            return too_large(limit) if int(value) > limit else None
    return None

"""Names in paths: a name is one segment whatever it holds; its slashes are written ``%2F`` by whoever asks.

Servers decode a path before it is routed, which makes two segments of ``a%2Fb``. Here percent signs and slashes of a
segment stay encoded until its route is found, so that ``a/parameters`` can never mean the parameters of ``a``.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import unquote

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send


class Segments:
    """Keeps the segments of a path as they were sent; pure ASGI. The routes inside are ``NamedRoute``."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        inner = {**scope, "path": kept(scope)}
        try:
            await self._app(inner, receive, send)
        finally:
            if "route" in inner:
                scope["route"] = inner["route"]  # the metrics name it


class NamedRoute(APIRoute):
    """Gives its endpoint the names that the path's segments stand for."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """As every route's, with other path parameters."""
        handle = super().get_route_handler()

        async def named(request: Request) -> Response:
            values = request.scope["path_params"]
            request.scope["path_params"] = {key: restored(value) for key, value in values.items()}
            return await handle(request)

        return named


def kept(scope: Scope) -> str:
    """The path with every percent sign and slash inside a segment encoded."""
    raw: bytes | None = scope.get("raw_path")
    segments = scope["path"].split("/") if raw is None else [unquote(s) for s in raw.decode("latin-1").split("/")]
    return "/".join(segment.replace("%", "%25").replace("/", "%2F") for segment in segments)


def restored(segment: str) -> str:
    """The name behind one segment of ``kept``."""
    return segment.replace("%2F", "/").replace("%25", "%")

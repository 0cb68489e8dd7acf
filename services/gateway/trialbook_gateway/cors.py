"""Which scripts of other origins may read replies: decided per group of paths, because each API has its own users."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

Origins = Sequence[str]


class GroupCors:
    """Pure ASGI; ``groups`` maps a group of paths to its origins, every other path has ``origins``.

    ``group_of`` names the group of a connection;
    ``trusted`` groups take credentials and any header. Without any origins nothing is allowed and nothing is spent.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        origins: Origins,
        allow_headers: Sequence[str],
        expose_headers: Sequence[str],
        groups: Mapping[str, Origins] | None = None,
        group_of: Callable[[Scope], str] | None = None,
        trusted: Container[str] = (),
    ) -> None:
        def layer(allowed: Origins, *, with_credentials: bool = False) -> ASGIApp:
            if not allowed:
                return app
            return CORSMiddleware(
                app, allow_origins=list(allowed), allow_methods=["*"], expose_headers=expose_headers,
                allow_headers=["*"] if with_credentials else allow_headers, allow_credentials=with_credentials,
            )  # fmt: skip

        self._general = layer(origins)
        self._layers = {
            group: layer(allowed, with_credentials=group in trusted) for group, allowed in (groups or {}).items()
        }
        self._group_of = group_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        chosen = self._general
        if self._layers and self._group_of is not None and scope["type"] == "http":
            chosen = self._layers.get(self._group_of(scope), chosen)
        await chosen(scope, receive, send)

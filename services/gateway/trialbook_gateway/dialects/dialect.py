"""What the gateway needs to know of a dialect in order to mount it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from starlette.types import ASGIApp

from trialbook_gateway.dialects.claims import Claim
from trialbook_gateway.limits import Render


class Dialect(msgspec.Struct, frozen=True, kw_only=True):
    """One system's API as a self-contained application.

    ``app`` expects the prefix in ``root_path`` and serves its own errors, ``/openapi.json``, ``/docs`` and ``/redoc``.
    ``claims`` are its documented root paths. ``form`` says in words what body it takes on a shared path.
    """

    system: str
    title: str
    app: ASGIApp
    claims: tuple[Claim, ...]
    openapi: Callable[[], dict[str, Any]]
    refuse: Render
    form: str = ""
    exposed_headers: tuple[str, ...] = ()
    """Reply headers that scripts of other origins may read."""
    origins: tuple[str, ...] = ()
    """Scripts of these origins may use it with credentials; none: those of the gateway, without."""
    health: Callable[[], Awaitable[dict[str, Any]]] | None = None
    """Members that it adds to the union health body."""
    begin: Callable[[], None] | None = None
    """Called once on the event loop when the services have started."""
    close: Callable[[], Awaitable[None]] | None = None
    """Called before the services are closed."""

    @property
    def prefix(self) -> str:
        """Where it is always available."""
        return "/" + self.system

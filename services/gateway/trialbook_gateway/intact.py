"""While the ledger is damaged nothing is served that would need it: 503 ``ledger_damaged``, in the path's dialect.

What stays: how the service is, what it is, and the ledger's own pages, by which the damage can be looked into.
"""

from __future__ import annotations

from collections.abc import Callable

from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from trialbook.proofs import LedgerInfo
from trialbook_gateway.limits import Render
from trialbook_gateway.problems import HttpRefusal, problem

ALWAYS = frozenset({"/", "/v1", "/docs", "/docs/oauth2-redirect", "/redoc", "/openapi.json", "/metrics"})
BELOW = ("/v1/ledger", "/v1/asyncapi", "/v1/schemas")
LAST = ("health", "live", "ready", "docs", "redoc", "openapi.json")
"""Last parts of paths that dialects serve under their prefixes, too."""
RETRY_AFTER_S = 30


def ledger_damaged(info: LedgerInfo) -> HttpRefusal:
    """The refusal; somebody has to restore the ledger, so nobody need ask again at once."""
    return HttpRefusal(503, "ledger_damaged", info.why, {"Retry-After": str(RETRY_AFTER_S)})


class Intact:
    """Pure ASGI; ``damage`` says what is known of one."""

    def __init__(self, app: ASGIApp, damage: Callable[[], LedgerInfo | None], render: Render = problem) -> None:
        self._app, self._damage, self._render = app, damage, render

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] == "lifespan" or (info := self._damage()) is None or _served(scope["path"]):
            await self._app(scope, receive, send)
            return
        reply = self._render(scope, ledger_damaged(info))
        if scope["type"] == "websocket":
            await WebSocket(scope, receive, send).send_denial_response(reply)
        else:
            await reply(scope, receive, send)


def _served(path: str) -> bool:
    if path in ALWAYS or any(path == start or path.startswith(start + "/") for start in BELOW):
        return True
    parts = path.rstrip("/").rsplit("/", 2)
    return parts[-1] in LAST and not path.startswith("/v1")

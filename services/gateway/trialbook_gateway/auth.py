"""Who asks: bearer tokens, compared in constant time. Without configured tokens everybody is ``anonymous``."""

from __future__ import annotations

import hashlib
import hmac
from urllib.parse import parse_qs

import msgspec
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from trialbook.errors import Forbidden, Refusal, Unauthorized
from trialbook_gateway.limits import Render
from trialbook_gateway.problems import problem
from trialbook_gateway.settings import Token

SUBPROTOCOL = "trialbook.bearer."
"""A WebSocket client that can set no header sends its token as the subprotocol ``trialbook.bearer.<token>``."""


class Principal(msgspec.Struct, frozen=True):
    """Who asks; ``workspaces`` None: all of them."""

    actor: str
    workspaces: frozenset[str] | None = None

    def may_use(self, workspace: str) -> None:
        """Raises ``Forbidden`` (code ``workspace_forbidden``)."""
        if self.workspaces is not None and workspace not in self.workspaces:
            raise Forbidden(
                "workspace_forbidden",
                f"This token does not open the workspace {workspace[:63]!r}; name one that it opens.",
            )

    def may_administer(self) -> None:
        """Creating and closing workspaces needs a token without a list. Raises ``Forbidden``."""
        if self.workspaces is not None:
            raise Forbidden(
                "administration_forbidden",
                "Managing workspaces takes a token without a list of them.",
            )


ANONYMOUS = Principal("anonymous")


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()


class Authenticator:
    """Finds the principal of a connection."""

    def __init__(self, tokens: tuple[Token, ...]) -> None:
        self._known = [(_digest(t.secret), Principal(t.actor, t.workspaces or None)) for t in tokens]

    def principal(self, scope: Scope) -> Principal:
        """Raises ``Unauthorized`` (code ``unauthenticated``) for a missing or unknown token."""
        if not self._known:
            return ANONYMOUS
        given = _token_of(scope)
        if given is None:
            raise Unauthorized("unauthenticated", "Send a bearer token: Authorization: Bearer <token>.")
        digest, found = _digest(given), None
        for known, principal in self._known:  # every entry is compared, whatever matches
            if hmac.compare_digest(known, digest):
                found = principal
        if found is None:
            raise Unauthorized("unauthenticated", "This token is not known; those in TRIALBOOK_API_TOKENS are.")
        return found


def _token_of(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"authorization":
            scheme, _, token = value.decode("latin-1").partition(" ")
            return token.strip() if scheme.lower() == "bearer" else None
    if scope["type"] != "websocket":
        return None
    for protocol in scope.get("subprotocols", ()):
        if protocol.startswith(SUBPROTOCOL):
            return str(protocol[len(SUBPROTOCOL) :])
    given = parse_qs(scope["query_string"].decode("latin-1")).get("token")
    return given[-1] if given else None


def accepted_subprotocol(scope: Scope) -> str | None:
    """The subprotocol to confirm when the token came as one."""
    return next((p for p in scope.get("subprotocols", ()) if p.startswith(SUBPROTOCOL)), None)


class Guard:
    """Lets only known principals pass to paths under ``prefix``; sets ``scope["state"]["principal"]``."""

    def __init__(self, app: ASGIApp, authenticator: Authenticator, prefix: str = "", render: Render = problem) -> None:
        self._app, self._authenticator, self._prefix, self._render = app, authenticator, prefix, render

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "lifespan" and scope["path"].startswith(self._prefix) and not _preflight(scope):
            try:
                scope.setdefault("state", {})["principal"] = self._authenticator.principal(scope)
            except Unauthorized as refusal:
                await self._refuse(scope, receive, send, refusal)
                return
        await self._app(scope, receive, send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send, refusal: Refusal) -> None:
        reply = self._render(scope, refusal)
        if scope["type"] == "websocket":
            await WebSocket(scope, receive, send).send_denial_response(reply)
        else:
            await reply(scope, receive, send)


def _preflight(scope: Scope) -> bool:
    return bool(scope["type"] == "http" and scope["method"] == "OPTIONS")

"""The dispatcher at the root: prefixes, then the documented root paths; what is neither is nobody's."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import parse_qsl

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from trialbook.clock import Clock
from trialbook.errors import Invalid, NotFound, Refusal
from trialbook_gateway import strictjson
from trialbook_gateway.dialects.claims import ByBody, Chosen, Decision, Kind, Shared, decide
from trialbook_gateway.dialects.dialect import Dialect
from trialbook_gateway.dialects.shapes import combined, plain
from trialbook_gateway.limits import too_large
from trialbook_gateway.problems import HttpRefusal, problem


class RootRouter:
    """Takes the connections that no native route serves; pure ASGI.

    ``root_systems`` are mounted at the root; when it is ``sole`` one, every root request is its own. ``native`` refuses
    what lies under ``/v1`` in the native shape.
    """

    def __init__(
        self,
        dialects: Sequence[Dialect],
        root_systems: Sequence[str],
        *,
        sole: bool,
        native: ASGIApp,
        clock: Clock,
        max_body_bytes: int,
    ) -> None:
        self._dialects = {dialect.system: dialect for dialect in dialects}
        self._claims = {d.system: d.claims for d in dialects if d.system in root_systems}
        self._sole = root_systems[0] if sole else None
        self._native, self._clock, self._max_body_bytes = native, clock, max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        first = _first_segment(scope)
        if first in self._dialects:
            scope["root_path"] = scope.get("root_path", "") + "/" + first
            await self._dialects[first].app(scope, receive, send)
        elif first == "v1" and scope["type"] == "websocket":
            missing = NotFound("route_not_found", "There is no WebSocket at this path.")
            await _reply(problem(scope, missing), scope, receive, send)
        elif first == "v1":
            await self._native(scope, receive, send)
        elif self._sole is not None:
            await self._dialects[self._sole].app(scope, receive, send)
        else:
            await self._root(scope, receive, send)

    def shape(self, scope: Scope, refusal: Refusal) -> Response:
        """The reply for a refusal that is made before anybody is chosen, in the shape of the path's group."""
        first = _first_segment(scope)
        if first in self._dialects:
            return self._dialects[first].refuse(scope, refusal)
        decision = Chosen(self._sole) if self._sole is not None and first != "v1" else self.decide(scope)
        if isinstance(decision, Chosen) and first != "v1":
            return self._dialects[decision.system].refuse(scope, refusal)
        if isinstance(decision, ByBody | Shared):
            return combined(scope, refusal, self._clock)
        return problem(scope, refusal)

    def group(self, scope: Scope) -> str:
        """The system whose path it is; empty for native and shared paths."""
        first = _first_segment(scope)
        if first in self._dialects:
            return first
        if first == "v1":
            return ""
        if self._sole is not None:
            return self._sole
        decision = self.decide(scope)
        return decision.system if isinstance(decision, Chosen) else ""

    def decide(self, scope: Scope) -> Decision:
        """Which dialect a root request means, as far as path and query tell."""
        kind: Kind = "websocket" if scope["type"] == "websocket" else "http"
        names = {name for name, _ in parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)}
        return decide(self._claims, kind, scope.get("method", ""), scope["path"], names)

    async def _root(self, scope: Scope, receive: Receive, send: Send) -> None:
        decision = self.decide(scope)
        missing = NotFound("route_not_found", "Not Found")
        match decision:
            case Chosen(known=True):
                await self._dialects[decision.system].app(scope, receive, send)
            case Chosen():
                await _reply(self._dialects[decision.system].refuse(scope, missing), scope, receive, send)
            case ByBody():
                await self._by_body(decision, scope, receive, send)
            case Shared():
                await _reply(combined(scope, missing, self._clock), scope, receive, send)
            case _:
                await _reply(plain(scope, missing), scope, receive, send)

    async def _by_body(self, decision: ByBody, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            messages = await _read(receive, self._max_body_bytes)
            system = self._system_of(decision, strictjson.parse(b"".join(m.get("body", b"") for m in messages)))
        except Refusal as refusal:
            await combined(scope, refusal, self._clock)(scope, receive, send)
            return
        await self._dialects[system].app(scope, _replay(messages, receive), send)

    def _system_of(self, decision: ByBody, body: object) -> str:
        given = [system for key, system in decision.systems.items() if isinstance(body, dict) and key in body]
        if len(given) == 1:
            return given[0]
        known = [self._dialects[system] for system in decision.systems.values()]
        forms = "; ".join(f"{dialect.form} ({dialect.prefix})" for dialect in known)
        which = "more than one of" if given else "none of"
        raise Invalid("ambiguous_request", f"The body has {which} these forms: {forms}. Send one, or use its prefix.")


def _first_segment(scope: Scope) -> str:
    parts: list[str] = scope["path"].split("/", 2)
    return parts[1] if len(parts) > 1 else ""


async def _read(receive: Receive, max_bytes: int) -> list[Message]:
    """All messages of a body. Raises 413, or 400 when the client goes away."""
    messages: list[Message] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise HttpRefusal(400, "client_gone", "The client went away before its body was complete.")
        messages.append(message)
        size += len(message.get("body", b""))
        if size > max_bytes:
            raise too_large(max_bytes)
        if not message.get("more_body", False):
            return messages


def _replay(messages: list[Message], receive: Receive) -> Receive:
    waiting = iter(messages)

    async def replayed() -> Message:
        return next(waiting, None) or await receive()

    return replayed


async def _reply(reply: Response, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await WebSocket(scope, receive, send).send_denial_response(reply)
    else:
        await reply(scope, receive, send)

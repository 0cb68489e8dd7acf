"""Error shapes of refusals that are made before a dialect is chosen, and the plain shape that two dialects share."""

from __future__ import annotations

import msgspec
from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Scope

from trialbook.clock import Clock
from trialbook.errors import Refusal
from trialbook.times import rfc3339
from trialbook_gateway.problems import HttpRefusal, headers_of, status_of

JSON = "application/json"


def plain(scope: Scope, refusal: Refusal) -> Response:  # noqa: ARG001 - the signature of every shape
    """``{"detail": <text>}``: Marketplace, Algomancy and unknown root paths."""
    body = msgspec.json.encode({"detail": refusal.detail})
    return Response(body, status_of(refusal), headers_of(refusal), JSON)


def combined(scope: Scope, refusal: Refusal, clock: Clock) -> Response:  # noqa: ARG001 - as above
    """For shared paths that cannot be attributed: AIDE's object, and ``detail`` beside it."""
    body = {
        "success": False,
        "error": {"code": refusal.code.upper(), "message": refusal.detail, "details": refusal.extra},
        "detail": refusal.detail,
        "timestamp": rfc3339(clock.now()),
    }
    return Response(msgspec.json.encode(body), status_of(refusal), headers_of(refusal), JSON)


def install_plain(app: FastAPI) -> None:
    """Refusals and the framework's own errors in the plain shape."""

    async def on_refusal(request: Request, error: Exception) -> Response:
        assert isinstance(error, Refusal)
        return plain(request.scope, error)

    async def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if isinstance(error.__cause__, Refusal):  # of the limits, met while the framework read the body
            return plain(request.scope, error.__cause__)
        refusal = HttpRefusal(error.status_code, "http", str(error.detail), dict(error.headers or {}))
        return plain(request.scope, refusal)

    app.add_exception_handler(Refusal, on_refusal)
    app.add_exception_handler(HTTPException, on_http)

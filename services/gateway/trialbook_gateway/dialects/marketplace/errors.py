"""Every failure of the marketplace API as ``{"detail": ...}``."""

from __future__ import annotations

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from trialbook.errors import Refusal
from trialbook_gateway.dialects.shapes import JSON, plain
from trialbook_gateway.problems import HttpRefusal, internal

MAX_FAULTS = 20


def bad_request(refusal: Refusal) -> HttpRefusal:
    """The same refusal as a 400, which is what this API documents for everything but body types."""
    return HttpRefusal(400, refusal.code, refusal.detail)


def not_found(code: str, detail: str) -> HttpRefusal:
    """A 404."""
    return HttpRefusal(404, code, detail)


def install(app: FastAPI) -> None:
    """Give every failure of the app its documented shape."""

    async def on_refusal(request: Request, error: Exception) -> Response:
        assert isinstance(error, Refusal)
        return plain(request.scope, error)

    async def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if isinstance(error.__cause__, Refusal):  # of the limits, met while the framework read the body
            return plain(request.scope, error.__cause__)
        refusal = HttpRefusal(error.status_code, "http", str(error.detail), dict(error.headers or {}))
        return plain(request.scope, refusal)

    async def on_validation(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        faults = [
            {"type": fault["type"], "loc": list(fault["loc"]), "msg": fault["msg"]}
            for fault in list(error.errors())[:MAX_FAULTS]
        ]
        return Response(msgspec.json.encode({"detail": faults}), 422, media_type=JSON)

    async def on_error(request: Request, error: Exception) -> Response:
        return plain(request.scope, internal(error))

    app.add_exception_handler(Refusal, on_refusal)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(RequestValidationError, on_validation)
    app.add_exception_handler(Exception, on_error)

"""Every failure of the marketplace API as ``{"detail": ...}``."""

from __future__ import annotations

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.responses import Response

from trialbook.errors import Refusal
from trialbook_gateway.dialects.shapes import JSON, install_plain, plain
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

    async def on_validation(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        faults = [
            {"type": fault["type"], "loc": list(fault["loc"]), "msg": fault["msg"]}
            for fault in list(error.errors())[:MAX_FAULTS]
        ]
        return Response(msgspec.json.encode({"detail": faults}), 422, media_type=JSON)

    async def on_error(request: Request, error: Exception) -> Response:
        return plain(request.scope, internal(error))

    install_plain(app)
    app.add_exception_handler(RequestValidationError, on_validation)
    app.add_exception_handler(Exception, on_error)

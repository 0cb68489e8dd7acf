"""Every failure of the algomancy API as ``{"detail": ...}``: a text, or for wrong types a list of faults."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import FastAPI, Request
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from starlette.responses import Response

from trialbook_gateway.dialects.shapes import JSON, install_plain, plain
from trialbook_gateway.problems import HttpRefusal, internal

MAX_FAULTS = 20
INTERNAL = "Internal server error"


def bad_value(detail: str) -> HttpRefusal:
    """A 400."""
    return HttpRefusal(400, "bad_value", detail)


def not_found(what: str, name: str) -> HttpRefusal:
    """A 404 that names what was asked for."""
    return HttpRefusal(404, f"{what.lower()}_not_found", f"{what} '{name}' not found")


def conflict(detail: str) -> HttpRefusal:
    """A 409."""
    return HttpRefusal(409, "conflict", detail)


def _encodable(faults: list[dict[str, Any]]) -> bytes:
    """JSON; what was given is left out where it is no Unicode."""
    try:
        return msgspec.json.encode({"detail": faults})
    except UnicodeEncodeError:
        rest = [{name: value for name, value in fault.items() if name != "input"} for fault in faults]
        return msgspec.json.encode({"detail": rest})


def install(app: FastAPI) -> None:
    """Give every failure of the app its documented shape."""

    async def on_validation(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        faults: list[Any] = list(error.errors())[:MAX_FAULTS]
        told = jsonable_encoder(faults, custom_encoder={bytes: lambda body: body.decode("utf-8", "replace")})
        return Response(_encodable(told), 422, media_type=JSON)

    async def on_error(request: Request, error: Exception) -> Response:
        found = internal(error)
        if isinstance(found, HttpRefusal):
            found = HttpRefusal(500, found.code, INTERNAL)
        return plain(request.scope, found)

    install_plain(app)
    app.add_exception_handler(RequestValidationError, on_validation)
    app.add_exception_handler(Exception, on_error)

"""Every failure of the algomancy API as ``{"detail": ...}``: a text, or for wrong types a list of faults."""

from __future__ import annotations

import logging
from typing import Any

import msgspec
from fastapi import FastAPI, Request
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from trialbook.errors import Refusal
from trialbook_gateway.dialects.shapes import JSON, plain
from trialbook_gateway.problems import HttpRefusal, internal

log = logging.getLogger(__name__)
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
        faults: list[Any] = list(error.errors())[:MAX_FAULTS]
        return Response(msgspec.json.encode({"detail": jsonable_encoder(faults)}), 422, media_type=JSON)

    async def on_error(request: Request, error: Exception) -> Response:
        found = internal(error)
        if isinstance(found, HttpRefusal):
            found = HttpRefusal(500, found.code, INTERNAL)
        return plain(request.scope, found)

    app.add_exception_handler(Refusal, on_refusal)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(RequestValidationError, on_validation)
    app.add_exception_handler(Exception, on_error)

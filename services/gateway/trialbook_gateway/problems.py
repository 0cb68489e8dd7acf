"""Refusals as RFC 9457 problems: one shape for every failure of the native API, never a stack trace."""

from __future__ import annotations

import http
from typing import Any

import msgspec
import nats.errors
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Scope

from trialbook.errors import Refusal, Unavailable
from trialbook.log.api import ApiError
from trialbook_gateway.allowed import Allowed

MEDIA_TYPE = "application/problem+json"
STATUS = {
    "refused": 400, "invalid": 422, "unauthorized": 401, "forbidden": 403, "not_found": 404, "conflict": 409,
    "precondition_failed": 412, "too_large": 413, "rate_limited": 429, "unavailable": 503, "timed_out": 504,
}  # fmt: skip
_TITLES = {414: "URI Too Long", 413: "Content Too Large", 416: "Range Not Satisfiable", 422: "Unprocessable Content"}
_RESERVED = frozenset({"type", "title", "status", "detail", "code", "request_id"})
_SHOWN = 200


class HttpRefusal(Refusal):
    """A refusal that only makes sense in HTTP, with its status and headers."""

    kind = "http"

    def __init__(
        self, status: int, code: str, detail: str, headers: dict[str, str] | None = None, **extra: Any
    ) -> None:
        super().__init__(code, detail, **extra)
        self.status, self.headers = status, headers or {}


def malformed(detail: str) -> HttpRefusal:
    """A body that cannot be read at all."""
    return HttpRefusal(400, "malformed_body", detail)


def invalid(errors: list[dict[str, Any]], detail: str = "", code: str = "validation_failed") -> HttpRefusal:
    """Several faults, each ``{"pointer": <JSON pointer>, "detail": ...}``."""
    first = errors[0]
    text = detail or f"{first.get('pointer') or 'The request'}: {first['detail']}"
    return HttpRefusal(422, code, text, errors=errors)


def status_of(refusal: Refusal) -> int:
    """The HTTP status of a refusal."""
    if isinstance(refusal, HttpRefusal):
        return refusal.status
    return STATUS.get(refusal.kind, 400)


def headers_of(refusal: Refusal) -> dict[str, str]:
    """Headers a refusal asks for: ``Retry-After``, ``WWW-Authenticate``."""
    if isinstance(refusal, HttpRefusal):
        return refusal.headers
    if refusal.kind == "unauthorized":
        return {"WWW-Authenticate": 'Bearer realm="trialbook"'}
    if refusal.kind in ("unavailable", "timed_out"):
        return {"Retry-After": "1"}
    if refusal.kind == "rate_limited":
        return {"Retry-After": str(max(1, round(refusal.extra.get("retry_after_s", 1))))}
    return {}


def problem(scope: Scope, refusal: Refusal) -> Response:
    """The reply for a refusal."""
    status = status_of(refusal)
    body = {
        "type": f"urn:trialbook:problem:{refusal.code}",
        "title": _TITLES.get(status) or http.HTTPStatus(status).phrase,
        "status": status,
        "code": refusal.code,
        "detail": refusal.detail,
        "request_id": scope.get("state", {}).get("request_id", ""),
        **{key: value for key, value in refusal.extra.items() if key not in _RESERVED},
    }
    return Response(msgspec.json.encode(body), status, headers_of(refusal), MEDIA_TYPE)


def from_http_exception(error: HTTPException) -> HttpRefusal:
    """What the framework refuses by itself: unknown path, wrong method, unreadable form."""
    known = {
        404: ("route_not_found", "There is nothing at this path; GET /v1 lists what there is."),
        405: ("method_not_allowed", "This path does not know this method; see the Allow header."),
    }
    code, detail = known.get(error.status_code, ("request_refused", str(error.detail)))
    return HttpRefusal(error.status_code, code, detail, dict(error.headers or {}))


def pointer(location: tuple[Any, ...]) -> str:
    """A JSON pointer (RFC 6901) for a path of keys and indexes."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in location)


def faults_of(errors: Any, skip: int = 0) -> list[dict[str, Any]]:
    """Pydantic's errors as ``{"pointer", "detail"}``; ``skip`` leading parts of the location are left out."""
    faults: list[dict[str, Any]] = []
    for error in list(errors)[:20]:
        location = tuple(error["loc"])[skip:]
        faults.append({"pointer": pointer(location), "detail": str(error["msg"])[:_SHOWN]})
    return faults


def from_validation(error: RequestValidationError) -> HttpRefusal:
    """Faults in path, query or header parameters; the location names the part and the parameter."""
    faults = [
        {"in": str(e["loc"][0]), "pointer": pointer(tuple(e["loc"][1:])), "detail": str(e["msg"])[:_SHOWN]}
        for e in list(error.errors())[:20]
    ]
    first = faults[0]
    return HttpRefusal(
        422, "validation_failed", f"{first['in']} parameter {first['pointer'][1:]}: {first['detail']}", errors=faults
    )


def install(app: FastAPI) -> None:
    """Make every refusal of the app a problem; faults are answered by ``Faults``."""
    allowed = Allowed(app)

    async def on_refusal(request: Request, error: Exception) -> Response:
        assert isinstance(error, Refusal)
        return problem(request.scope, error)

    async def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        refusal = from_http_exception(error)
        if error.status_code == 405 and (methods := allowed.methods(request.url.path)):
            refusal.headers["Allow"] = methods
        return problem(request.scope, refusal)

    async def on_validation(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return problem(request.scope, from_validation(error))

    app.add_exception_handler(Refusal, on_refusal)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(RequestValidationError, on_validation)


def internal(error: BaseException) -> Refusal:
    """What a client may know of a fault of ours; the server's log has the rest."""
    if isinstance(error, ConnectionError | nats.errors.Error):
        return Unavailable("nats_unreachable", "The connection to NATS is lost; try again in a moment.")
    if isinstance(error, ApiError) and error.for_now:
        return Unavailable("ledger_unavailable", f"JetStream cannot answer now: {error}; try again in a moment.")
    return HttpRefusal(500, "internal_error", "Something went wrong on our side; the request id finds it in our log.")

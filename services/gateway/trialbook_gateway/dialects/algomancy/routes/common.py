"""What all routes share."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.responses import Response

from trialbook_gateway import strictjson
from trialbook_gateway.dialects.algomancy.schemas import Detail
from trialbook_gateway.problems import HttpRefusal

PREFIX = "/api/v1"
COMMON = (401, 403, 404, 413, 414, 422, 500, 503, 504)
_REASONS = {
    400: "Refused; the text says why", 401: "No or unknown token", 403: "Not allowed for this token", 404: "Not found",
    406: "No acceptable form", 409: "The present state does not allow it", 413: "Body too large", 414: "Query too long",
    422: "Wrong type in body or query", 500: "Our fault", 503: "Not available now", 504: "No answer in time",
}  # fmt: skip


def described(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Every status of an operation has the documented body of refusals."""
    return {status: {"model": Detail, "description": _REASONS[status]} for status in sorted({*statuses, *COMMON})}


def reply(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A plain value as JSON, its keys in their order; NaN becomes null."""
    return Response(msgspec.json.encode(value), status, headers, "application/json")


async def storable_body(request: Request) -> None:
    """Refuse texts that nobody can store (NUL, lone surrogates) as a fault of the body; JSON itself is read later."""
    body = await request.body()
    if b"\\u" not in body:
        return
    try:
        strictjson.parse(body)
    except HttpRefusal as refusal:
        if refusal.code == "invalid_text":
            fault = {"type": "value_error", "loc": ("body",), "msg": refusal.detail, "input": None}
            raise RequestValidationError([fault]) from None

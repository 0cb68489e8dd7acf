"""Statuses beside 200 for the OpenAPI document."""

from __future__ import annotations

from typing import Any

from trialbook_gateway.dialects.marketplace.schemas import Detail

COMMON = (401, 403, 404, 413, 414, 422, 500, 503, 504)
_REASONS = {
    400: "Refused; the text says why", 401: "No or unknown token", 403: "Not allowed for this token", 404: "Not found",
    409: "The present state does not allow it", 413: "Body too large", 414: "Query too long",
    422: "Wrong type in body or query", 500: "Our fault", 503: "Not available now", 504: "No answer in time",
}  # fmt: skip


def described(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Every status of an operation has the documented body of refusals."""
    return {status: {"model": Detail, "description": _REASONS[status]} for status in sorted({*statuses, *COMMON})}

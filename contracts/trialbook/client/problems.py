"""HTTP failures as the refusals they stand for: RFC 9457 problems back into ``trialbook.errors``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from trialbook.errors import (
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    PreconditionFailed,
    RateLimited,
    Refusal,
    TimedOut,
    TooLarge,
    Unauthorized,
    Unavailable,
)

BY_STATUS: dict[int, type[Refusal]] = {
    400: Invalid, 401: Unauthorized, 403: Forbidden, 404: NotFound, 409: Conflict, 412: PreconditionFailed,
    413: TooLarge, 414: Invalid, 415: Invalid, 416: Invalid, 422: Invalid, 428: PreconditionFailed, 429: RateLimited,
    502: Unavailable, 503: Unavailable, 504: TimedOut,
}  # fmt: skip
_STANDARD = frozenset({"type", "title", "status", "detail", "code"})
_SHOWN = 200


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait that the server asked for; None when it did not (dates are not used by Trialbook)."""
    text = headers.get("retry-after", "")
    return float(text) if text.isdigit() else None


def refusal_of(status: int, headers: Mapping[str, str], body: bytes) -> Refusal:
    """The refusal for a reply with a status of 400 or more.

    ``extra`` holds the other members of the problem (``request_id``, ``errors``, ...) and ``status``. A reply that is
    no problem document (a proxy's page) keeps its first characters as the detail.
    """
    class_ = BY_STATUS.get(status) or (Unavailable if status >= 500 else Refusal)
    members = _members(body)
    extra: dict[str, Any] = {key: value for key, value in members.items() if key not in _STANDARD}
    extra["status"] = status
    wait = retry_after_s(headers)
    if wait is not None:
        extra.setdefault("retry_after_s", wait)
    if isinstance(members.get("code"), str):
        return class_(members["code"], str(members.get("detail", "")), **_safe(extra))
    if "detail" in members:  # the shape of the dialects whose originals know no codes
        return class_(f"http_{status}", _told(members["detail"]), **_safe(extra))
    text = body[:_SHOWN].decode(errors="replace").strip()
    detail = f"The server answered {status} without a problem document: {text or '(empty)'}"
    return class_(f"http_{status}", detail, **_safe(extra))


def _told(detail: Any) -> str:
    """A text, or a list of faults as ``where: what``."""
    if not isinstance(detail, list):
        return str(detail)
    faults = [fault if isinstance(fault, dict) else {"msg": fault} for fault in detail]
    return "; ".join(
        ": ".join(part for part in (".".join(map(str, fault.get("loc", []))), str(fault.get("msg", ""))) if part)
        for fault in faults
    )


def _members(body: bytes) -> dict[str, Any]:
    try:
        members = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return {}
    return members if isinstance(members, dict) else {}


def _safe(extra: dict[str, Any]) -> dict[str, Any]:
    """Without the names that the refusal's own constructor uses."""
    return {key: value for key, value in extra.items() if key not in {"self", "code", "detail"}}

"""The closed tree of refusals.

Every expected failure of Trialbook is a ``Refusal`` with a stable ``code`` (machine-readable, part of the public
contract), a ``detail`` written for the person who has to act, and optional JSON-able ``extra`` members. HTTP status
codes and dialect error shapes are chosen at the edge, by class; the domain knows none of them.
"""

from __future__ import annotations

from typing import Any


class Refusal(Exception):
    """Something was asked that is refused; nothing was changed."""

    kind = "refused"

    def __init__(self, code: str, detail: str, **extra: Any) -> None:
        """``code``: stable snake_case identifier; ``detail``: a sentence that says what to do."""
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.extra: dict[str, Any] = extra


class Invalid(Refusal):
    """The request itself is wrong; the same request will never be accepted."""

    kind = "invalid"


class Unauthorized(Refusal):
    """No or unknown credentials."""

    kind = "unauthorized"


class Forbidden(Refusal):
    """The principal is known but may not do this."""

    kind = "forbidden"


class NotFound(Refusal):
    """The thing named does not exist (or not in this workspace)."""

    kind = "not_found"


class Conflict(Refusal):
    """The current state does not allow it; another state might."""

    kind = "conflict"


class PreconditionFailed(Refusal):
    """``If-Match`` or an expected version did not hold."""

    kind = "precondition_failed"


class TooLarge(Refusal):
    """A stated limit of size or count was exceeded."""

    kind = "too_large"


class RateLimited(Refusal):
    """Too many requests; ``extra['retry_after_s']`` says when to come back."""

    kind = "rate_limited"


class Unavailable(Refusal):
    """A part of the service cannot answer now; the same request may succeed later."""

    kind = "unavailable"


class TimedOut(Refusal):
    """A stated time limit passed; the outcome of a command is then unknown and may be retried by id."""

    kind = "timed_out"


KINDS: dict[str, type[Refusal]] = {
    c.kind: c
    for c in (
        Refusal,
        Invalid,
        Unauthorized,
        Forbidden,
        NotFound,
        Conflict,
        PreconditionFailed,
        TooLarge,
        RateLimited,
        Unavailable,
        TimedOut,
    )
}


def refusal(kind: str, code: str, detail: str, extra: dict[str, Any] | None = None) -> Refusal:
    """Rebuild a refusal that crossed a wire; an unknown kind becomes the base class."""
    return KINDS.get(kind, Refusal)(code, detail, **(extra or {}))

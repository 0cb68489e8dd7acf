"""How a call fails. These errors hold texts only: no request, no response, no key, and no cause that holds them."""

from __future__ import annotations

from typing import Literal

Kind = Literal[
    "authentication",
    "bad_request",
    "connection",
    "malformed",
    "not_found",
    "not_installed",
    "quota",
    "rate_limited",
    "refused",
    "server_error",
    "timeout",
    "unsupported",
]
TRANSIENT: frozenset[Kind] = frozenset({"connection", "malformed", "rate_limited", "server_error", "timeout"})
"""The same call may succeed later."""


class CallFailed(Exception):
    """A call failed for good, or for now when ``transient``. ``retry_after_s`` is the provider's wish in seconds."""

    def __init__(
        self, kind: Kind, detail: str, *, status: int | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(detail)
        self.kind: Kind = kind
        self.detail = detail
        self.status = status
        self.retry_after_s = retry_after_s

    @property
    def transient(self) -> bool:
        """Whether the same call may succeed later."""
        return self.kind in TRANSIENT


class DecisionFailed(Exception):
    """No attempt gave an object that fits the schema; the text names the last error."""

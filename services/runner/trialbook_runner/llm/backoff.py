"""How long to wait before a call is repeated."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import msgspec


class Backoff(msgspec.Struct, frozen=True, kw_only=True):
    """Exponential, in seconds; ``jitter`` is the largest share added. A longer ``Retry-After`` than
    ``longest_wait_s`` ends the repetition.
    """

    repeats: int = 4
    base_s: float = 1.0
    cap_s: float = 30.0
    jitter: float = 0.25
    longest_wait_s: float = 120.0

    def delay(self, repeat: int, retry_after_s: float | None, random: Callable[[], float]) -> float | None:
        """Seconds before repetition ``repeat`` (from 0), or None when the call must not be repeated.

        The provider's wish is a lower bound. ``random`` gives numbers in [0, 1).
        """
        if repeat >= self.repeats:
            return None
        if retry_after_s is not None and retry_after_s > self.longest_wait_s:
            return None
        wait = max(min(self.cap_s, self.base_s * 2.0**repeat), retry_after_s or 0.0)
        return float(wait * (1 + self.jitter * random()))


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds of a ``Retry-After`` header, a number or a date; None when absent or unreadable."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            moment = parsedate_to_datetime(value)
        except ValueError:
            return None
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        seconds = (aware - now).total_seconds()
    return max(0.0, seconds) if seconds < float("inf") else None

"""Time as a dependency: the only place that reads the system clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    """A source of the current time."""

    def now(self) -> datetime:
        """The current time, timezone-aware, UTC, microsecond resolution."""
        ...

    def unix_us(self) -> int:
        """The current time as Unix microseconds: the cheap form, for signals."""
        ...

    def monotonic(self) -> float:
        """Seconds since an arbitrary start; never goes back."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Current UTC time."""
        return datetime.now(UTC)

    def unix_us(self) -> int:
        """Current time as Unix microseconds."""
        return time.time_ns() // 1000

    def monotonic(self) -> float:
        """Seconds of the monotonic clock."""
        return time.monotonic()


class FixedClock:
    """A clock for tests and replays: advances only when told."""

    def __init__(self, start: datetime | None = None) -> None:
        """``start`` must be timezone-aware; default 2026-01-01T00:00:00Z."""
        self._start = self._now = start or datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        """The time that was last set."""
        return self._now

    def set(self, to: datetime) -> None:
        """Move to an absolute time."""
        self._now = to

    def unix_us(self) -> int:
        """The time that was last set, as Unix microseconds."""
        return (self._now - _EPOCH) // timedelta(microseconds=1)

    def monotonic(self) -> float:
        """Seconds since the start time."""
        return (self._now - self._start).total_seconds()

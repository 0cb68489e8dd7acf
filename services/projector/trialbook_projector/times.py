"""Times between the three forms in use: microseconds in tables and signals, RFC 3339 text in facts and answers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from trialbook.times import parse_moment, rfc3339

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def text_of(time_us: int) -> str:
    """Unix microseconds as RFC 3339 UTC."""
    return rfc3339(EPOCH + timedelta(microseconds=time_us))


def text_or_none(time_us: int | None) -> str | None:
    """The same for a time that may be missing."""
    return None if time_us is None else text_of(time_us)


def microseconds(text: str) -> int:
    """A time in a question (see ``parse_moment``) as Unix microseconds. Raises ``Invalid`` (code ``invalid_time``)."""
    return (parse_moment(text) - EPOCH) // MICROSECOND


def microseconds_or_none(text: str) -> int | None:
    """The same; None for an empty text."""
    return microseconds(text) if text else None

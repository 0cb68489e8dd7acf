"""Times as text: RFC 3339 in UTC. Pure functions; the clock itself is in ``trialbook.clock``."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from trialbook.errors import Invalid

_RFC3339 = re.compile(r"\d{4}-\d{2}-\d{2}([Tt ]\d{2}:\d{2}(:\d{2}([.,]\d{1,9})?)?([Zz]|[+-]\d{2}:?\d{2})?)?")
_WITHOUT_ZONE = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}(:\d{2}([.,]\d{1,9})?)?")


def rfc3339(moment: datetime) -> str:
    """``2026-01-15T10:30:00.123456Z``: UTC, six digits of a second always, so that text order is time order."""
    utc = moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    return utc.isoformat(timespec="microseconds")[:-6] + "Z"


def parse_time(text: str) -> datetime:
    """Parse an ISO 8601 / RFC 3339 time; without an offset it means UTC. A date is midnight UTC, its first moment.

    Raises ``Invalid`` (code ``invalid_time``) for anything else. A blank where a ``+`` is expected is read as ``+``,
    because an unencoded ``+`` in a query string arrives as a blank.
    """
    candidate = text.strip()
    if re.search(r"\d{2} \d{2}:?\d{2}$", candidate) and candidate.count(" ") + candidate.count("T") == 2:
        candidate = candidate[::-1].replace(" ", "+", 1)[::-1]
    if not _RFC3339.fullmatch(candidate):
        raise Invalid("invalid_time", f"{text!r} is not an ISO 8601 time such as 2026-01-15T10:30:00Z.")
    try:
        moment = datetime.fromisoformat(candidate.upper())
    except ValueError as error:
        raise Invalid("invalid_time", f"{text!r} is not an ISO 8601 time: {error}.") from None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    try:
        return aware.astimezone(UTC)
    except OverflowError:
        raise Invalid("invalid_time", f"{text!r} is outside the supported range of years.") from None


def parse_moment(text: str) -> datetime:
    """A time that somebody asks about: as ``parse_time``, but with its zone, which is not for us to guess.

    Raises ``Invalid`` (code ``invalid_time``); the detail says what to write.
    """
    if _WITHOUT_ZONE.fullmatch(bare := text.strip()):
        raise Invalid(
            "invalid_time",
            f"{text!r} has no zone: write {bare}Z for UTC, {bare}+01:00 for another, or a date alone for midnight UTC.",
        )
    return parse_time(text)


def is_sequence(moment: str) -> bool:
    """Whether a moment of the ledger is given as a sequence; else it is a time."""
    return moment.isascii() and moment.isdecimal()


def sequence_of(moment: str) -> int:
    """A moment given as a sequence. Raises ``Invalid`` (code ``invalid_sequence``)."""
    if len(moment) > 15:
        raise Invalid("invalid_sequence", f"{moment[:40]!r} is not a ledger sequence.")
    return int(moment)

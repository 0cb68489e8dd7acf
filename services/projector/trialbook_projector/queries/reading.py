"""What a question is answered from: a cursor, the asker's workspace, and what every family needs."""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

import msgspec

from trialbook.errors import Invalid, NotFound
from trialbook.queries import PAGE_LIMIT
from trialbook.views import RunView, run_view
from trialbook_projector.tables import find
from trialbook_projector.tables.cache import LatestProgress, RunEntry
from trialbook_projector.tables.facts import Open, as_it_is, run_key
from trialbook_projector.tables.store import Positions
from trialbook_projector.tables.writer import Caches

EVERYWHERE = "_"
"""The workspace of questions across workspaces."""
NO_LIMIT = (1 << 63) - 1


class SignalsWanted(Exception):
    """A run is over whose signals are not all in the tables; ask again when those up to ``sequence`` are."""

    def __init__(self, sequence: int) -> None:
        super().__init__(f"signals up to {sequence}")
        self.sequence = sequence


class Moment(msgspec.Struct, frozen=True):
    """What is looked back to: the last fact that counts, and a time (Unix microseconds) for what has no fact."""

    sequence: int
    time_us: int


class Bounds(msgspec.Struct, frozen=True):
    """Where the signals of a run end: ``limit`` is the last cursor that exists for readers (the verdict's, if any).

    ``until_us`` cuts by the signals' own time (Unix microseconds), but not those up to the cursor ``counted``.
    """

    run: RunEntry
    limit: int
    counted: int = -1
    until_us: int | None = None

    def cut(self, conditions: list[str], params: list[Any]) -> None:
        """Add the condition on time, if there is one."""
        if self.until_us is not None:
            conditions.append("(cursor <= ? OR time <= make_timestamp(?))")
            params.extend((self.counted, self.until_us))


class Reading:
    """One question's view of the tables; ``past``: the moment that is looked back to; ``open_`` reads sealed facts.

    ``hurried``: what is not there yet is left out instead of raising ``SignalsWanted``.
    """

    def __init__(
        self, cursor: Any, workspace: str, caches: Caches, positions: Positions, open_: Open = as_it_is,
        *, hurried: bool = False,
    ) -> None:  # fmt: skip
        self.cursor, self.workspace, self.caches, self.positions = cursor, workspace, caches, positions
        self.open, self.hurried = open_, hurried
        self.past: Moment | None = None

    def rows(self, sql: str, params: list[Any]) -> list[Any]:
        """All rows of a query of ours."""
        found: list[Any] = self.cursor.execute(sql, params).fetchall()
        return found

    def scope(self, conditions: list[str], params: list[Any]) -> None:
        """Restrict to the asker's workspace."""
        if self.workspace != EVERYWHERE:
            conditions.append("workspace = ?")
            params.append(self.workspace)

    def stored(self, id_: str) -> RunEntry:
        """A run of the workspace as it is now, deleted or not. Raises ``NotFound`` (``run_not_found``)."""
        entry = None
        if self.workspace != EVERYWHERE:
            entry = self.caches.runs.get(run_key(self.workspace, id_))
        if entry is None:
            conditions, params = ["id = ?"], [id_]
            self.scope(conditions, params)
            sql = f"SELECT {find.RUN_COLUMNS} FROM book.runs WHERE {' AND '.join(conditions)}"  # noqa: S608 -- constants
            rows = self.rows(sql, params)
            entry = find.run_entry(rows[0]) if rows else None
        if entry is None:
            raise run_not_found(id_)
        return entry


def signal_limit(entry: RunEntry) -> int:
    """The last cursor that exists for readers of a run."""
    return entry.state.signal_sequence << 16 | 0xFFFF if entry.state.terminal else NO_LIMIT


def run_not_found(id_: str) -> NotFound:
    """The refusal for a run that is not there."""
    return NotFound("run_not_found", f"There is no run {id_[:80]!r} in this workspace.")


def owed(entry: RunEntry, positions: Positions) -> int:
    """The last signal of a run that is over but not in the tables up to there; 0: nothing is missing."""
    last = entry.state.signal_sequence
    return last if entry.state.terminal and last > positions.signals else 0


def view(entry: RunEntry, progress: LatestProgress | None, *, brief: bool = False) -> RunView:
    """A run as readers see it. ``progress`` is the latest one, None where that is not known."""
    news = progress is not None and progress.cursor >> 16 > entry.state.reset_signals
    latest = msgspec.json.decode(progress.json) if progress is not None and news else None
    full = run_view(entry.workspace, entry.id, entry.state, entry.sequence, latest)
    if not brief:
        return full
    return msgspec.structs.replace(full, params={}, result=None, steps={}, extra={})


def page_limit(limit: int) -> int:
    """Check a limit: 1 to 1000. Raises ``Invalid`` (code ``invalid_limit``)."""
    if not 1 <= limit <= PAGE_LIMIT:
        raise Invalid("invalid_limit", f"limit must be 1 to {PAGE_LIMIT}, not {limit}.")
    return limit


def small(number: int, name: str) -> int:
    """Check a number that goes into a BIGINT. Raises ``Invalid`` (code ``invalid_number``)."""
    if not 0 <= number <= NO_LIMIT:
        raise Invalid("invalid_number", f"{name} must be 0 to 2^63 - 1.")
    return number


def pack_cursor(kind: str, position: int) -> str:
    """An opaque cursor."""
    return urlsafe_b64encode(f"{kind}:{position}".encode()).decode().rstrip("=")


def unpack_cursor(kind: str, text: str) -> int:
    """The position in a cursor that ``pack_cursor`` made. Raises ``Invalid`` (code ``invalid_cursor``)."""
    try:
        got, _, position = urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode().partition(":")
        if got != kind or not position.isascii() or not position.isdecimal() or int(position) > NO_LIMIT:
            raise ValueError(text)  # noqa: TRY301 -- one way out for every kind of nonsense
    except (ValueError, binascii.Error):
        raise Invalid(
            "invalid_cursor", "The cursor is not one that this list gave out; start again without it."
        ) from None
    return int(position)


def placeholders(values: list[Any]) -> str:
    """``?, ?, ?`` for a list of parameters."""
    return ", ".join("?" * len(values))

"""Looking back: runs and items as they were after a fact, folded from the facts up to it.

What has not changed since is taken as it stands; only what was there then and has changed since is folded. Of a list
these are few: what was under way at that moment, and what was retried or deleted later.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trialbook.aggregates import AGGREGATES
from trialbook.codec import fact_of
from trialbook.envelope import Event
from trialbook.errors import TooLarge
from trialbook.times import is_sequence, sequence_of
from trialbook.vault.keys import Lost
from trialbook_projector.queries import facts
from trialbook_projector.queries.reading import NO_LIMIT, Bounds, Moment, Reading, run_not_found, signal_limit
from trialbook_projector.tables import find
from trialbook_projector.tables.cache import ItemEntry, RunEntry
from trialbook_projector.tables.facts import UNSEEN
from trialbook_projector.times import microseconds

MAX_FOLDED_THINGS = 5000
MAX_FOLDED_FACTS = 200_000
LAST_BEFORE = "SELECT sequence, epoch_us(time) FROM book.facts WHERE sequence <= ? ORDER BY sequence DESC LIMIT 1"
LAST_UNTIL = "SELECT max(sequence) FROM book.facts WHERE time <= make_timestamp(?)"
LATEST_US = 253_402_300_800_000_000  # the year 10000


class KeysWanted(Exception):
    """Facts are sealed with keys that are not at hand; ask again when they are."""

    def __init__(self, keys: frozenset[str]) -> None:
        super().__init__(f"{len(keys)} keys of data subjects")
        self.keys = keys


def opened(reading: Reading, events: Sequence[Event]) -> list[Event]:
    """Events with their personal members, or with placeholders where these were erased. Raises ``KeysWanted``."""
    try:
        return [reading.open(event) if event.datakey else event for event in events]
    except (Lost, KeyError):
        raise KeysWanted(frozenset(event.datakey for event in events if event.datakey)) from None


def moment_of(reading: Reading, text: str) -> Moment:
    """What ``as_of`` names: the last fact that counts, and the time up to which signals of running runs do.

    Raises ``Invalid`` (``invalid_sequence``, ``invalid_time``).
    """
    if is_sequence(text):
        sequence = sequence_of(text)
        found = reading.rows(LAST_BEFORE, [sequence])
        return Moment(sequence, found[0][1] if found else 0)
    time_us = min(microseconds(text), LATEST_US)
    return Moment(reading.rows(LAST_UNTIL, [time_us])[0][0] or 0, time_us)


def run(reading: Reading, id_: str) -> RunEntry:
    """A run of the workspace, now or at the reading's moment. Raises ``NotFound``: not there (any more)."""
    entry: RunEntry | None = reading.stored(id_)
    if entry is not None and reading.past is not None:
        entry = run_at(reading, entry)
    if entry is None or entry.state.deleted:
        raise run_not_found(id_)
    return entry


def bounds(reading: Reading, id_: str) -> Bounds:
    """A run and the end of its signals, now or at the reading's moment."""
    entry = run(reading, id_)
    return Bounds(entry, signal_limit(entry)) if reading.past is None else bounds_at(entry, reading.past)


def run_at(reading: Reading, entry: RunEntry) -> RunEntry | None:
    """A run, given as it is now, as it was at the moment of the reading; None: it did not exist."""
    assert reading.past is not None
    if entry.created > reading.past.sequence:
        return None
    if entry.sequence <= reading.past.sequence:
        return entry
    return runs_at(reading, [entry])[0]


def runs_at(reading: Reading, entries: Sequence[RunEntry]) -> list[RunEntry]:
    """Runs that were there at the moment of the reading and have changed since, as they were, in the same order."""
    found = _folded(reading, "run", entries)
    return [RunEntry(e.created, e.workspace, e.id, *found[e.workspace, e.id][:2]) for e in entries]


def items_at(reading: Reading, kind: str, entries: Sequence[ItemEntry]) -> list[ItemEntry]:
    """The same for items of one kind."""
    found = _folded(reading, kind, entries)
    return [
        ItemEntry(e.created, kind, e.workspace, e.id, found[e.workspace, e.id][0], e.created_at,
                  found[e.workspace, e.id][1])
        for e in entries
    ]  # fmt: skip


def _folded(
    reading: Reading, kind: str, entries: Sequence[RunEntry | ItemEntry]
) -> dict[tuple[str, str], tuple[int, Any]]:
    """Workspace and id -> last sequence and state at the moment."""
    assert reading.past is not None
    if not entries:
        return {}
    if len(entries) > MAX_FOLDED_THINGS:
        raise too_many(f"{len(entries)} {kind}s have changed since", MAX_FOLDED_THINGS)
    sql = (
        f"SELECT {facts.COLUMNS} FROM book.facts WHERE kind = ? AND aggregate IN (SELECT unnest(?::VARCHAR[])) "  # noqa: S608 -- constants
        f"AND sequence BETWEEN ? AND ? ORDER BY sequence LIMIT {MAX_FOLDED_FACTS + 1}"
    )
    ids, first = [entry.id for entry in entries], min(entry.created for entry in entries)
    rows = reading.rows(sql, [kind, ids, first, reading.past.sequence])
    if len(rows) > MAX_FOLDED_FACTS:
        raise too_many(f"the {kind}s that have changed since have too many facts", MAX_FOLDED_FACTS)
    wanted = {(entry.workspace, entry.id) for entry in entries}
    histories: dict[tuple[str, str], list[tuple[Any, str]]] = {key: [] for key in wanted}
    last: dict[tuple[str, str], int] = {}
    rows = [row for row in rows if (row[1], row[3]) in wanted]
    for row, event in zip(rows, opened(reading, [facts.event_of(row) for row in rows]), strict=True):
        key = (row[1], row[3])
        last[key] = row[0]
        if event.type not in UNSEEN:
            histories[key].append((fact_of(event), event.time))
    decider = AGGREGATES[kind].decider
    return {key: (last[key], decider.fold(history)) for key, history in histories.items()}


def too_many(what: str, limit: int) -> TooLarge:
    """The refusal of a look back that would fold too much."""
    return TooLarge(
        "past_too_large",
        f"Looking back there means folding too much: {what}, and at most {limit:,} are folded. Narrow the list by "
        "created_after, created_before, workload, label or parent, or look back to a later moment.",
    )


def changed_runs(reading: Reading, conditions: Sequence[str], params: Sequence[Any]) -> list[RunEntry]:
    """Runs that match, were there at the moment and have changed since, as they were then."""
    assert reading.past is not None
    at = reading.past.sequence
    sql = (
        f"SELECT {find.RUN_COLUMNS} FROM book.runs WHERE {' AND '.join(conditions)} "  # noqa: S608 -- constants
        f"AND created <= ? AND sequence > ? LIMIT {MAX_FOLDED_THINGS + 1}"
    )
    return runs_at(reading, [find.run_entry(row) for row in reading.rows(sql, [*params, at, at])])


def bounds_at(entry: RunEntry, moment: Moment) -> Bounds:
    """Which signals a run had at a moment: up to its verdict, or else up to the moment's time.

    What a fact of the run has counted (an attempt that ended) is there whatever its time says.
    """
    if entry.state.terminal:
        return Bounds(entry, signal_limit(entry))
    return Bounds(entry, NO_LIMIT, entry.state.signal_sequence << 16 | 0xFFFF, moment.time_us)

"""Runs: one, many, and the facts behind them."""

from __future__ import annotations

from typing import Any, get_args

import msgspec

from trialbook.domain.run import Status
from trialbook.errors import Invalid
from trialbook.queries import Activity, Page, RunActivity, RunGet, RunList
from trialbook.views import RunView
from trialbook_projector.queries import past
from trialbook_projector.queries.reading import (
    Reading,
    SignalsWanted,
    owed,
    pack_cursor,
    page_limit,
    placeholders,
    run_not_found,
    unpack_cursor,
    view,
)
from trialbook_projector.tables import find
from trialbook_projector.tables.cache import LatestProgress, RunEntry
from trialbook_projector.tables.facts import run_key
from trialbook_projector.times import microseconds, text_of

STATUSES = frozenset(get_args(Status)) - {"none"}
SEARCH = " OR ".join(f"contains(lower({column}), ?)" for column in ("id", "name", "title", "workload"))
MAX_IDS = 1000
ALIVE = "NOT deleted"


def get(reading: Reading, query: RunGet) -> RunView:
    """``run.get`` by name, or by id where the cache did not know it."""
    if query.id:
        entry = past.run(reading, query.id)
    elif query.name:
        entry = _named(reading, query.name)
    else:
        raise Invalid("invalid_query", "run.get needs an id or a name.")
    return view(entry, _progress(reading, [entry]).get(run_key(entry.workspace, entry.id)))


def _named(reading: Reading, name: str) -> RunEntry:
    conditions, params = ["name = ?", ALIVE], [name]
    reading.scope(conditions, params)
    sql = f"SELECT {find.RUN_COLUMNS} FROM book.runs WHERE {' AND '.join(conditions)} ORDER BY created DESC LIMIT 1"  # noqa: S608 -- constants
    if reading.past is not None:
        return _named_then(reading, name, conditions, params)
    rows = reading.rows(sql, params)
    if not rows:
        raise run_not_found(name)
    return find.run_entry(rows[0])


def _named_then(reading: Reading, name: str, conditions: list[str], params: list[Any]) -> RunEntry:
    """Who bore the name at the reading's moment: nobody who was deleted until then."""
    unchanged, at = _unchanged(reading)
    sql = f"SELECT {find.RUN_COLUMNS} FROM book.runs WHERE {' AND '.join([*conditions, unchanged])}"  # noqa: S608 -- constants
    entries = [find.run_entry(row) for row in reading.rows(sql, [*params, *at])]
    changed = past.changed_runs(reading, [c for c in conditions if c != ALIVE], params)
    found = [entry for entry in [*entries, *changed] if not entry.state.deleted]
    if not found:
        raise run_not_found(name)
    return max(found, key=lambda entry: entry.created)


def _unchanged(reading: Reading) -> tuple[str, list[Any]]:
    """The condition for runs that are now what they were at the reading's moment (now: all)."""
    return ("true", []) if reading.past is None else ("sequence <= ?", [reading.past.sequence])


def _progress(reading: Reading, entries: list[RunEntry]) -> dict[str, LatestProgress]:
    """The latest progress of each run; not of one that is over and whose last progress may still be on its way."""
    if reading.past is not None:
        return _progress_then(reading, entries)
    behind = [owed(entry, reading.positions) for entry in entries]
    if any(behind) and not reading.hurried:
        raise SignalsWanted(max(behind))
    entries = [entry for entry, missing in zip(entries, behind, strict=True) if not missing]
    remembered = reading.caches.positions
    known: dict[str, LatestProgress] = {}
    missing = []
    for entry in entries:
        key = run_key(entry.workspace, entry.id)
        progress = reading.caches.progress.get(key)
        if progress is not None:
            known[key] = progress
        elif not reading.caches.progress.complete:
            missing.append(entry.id)
    if remembered != reading.positions or reading.caches.positions is not remembered:
        return find.progress(reading.cursor, [entry.id for entry in entries])  # what is remembered is of another state
    return known | find.progress(reading.cursor, missing) if missing else known


def _progress_then(reading: Reading, entries: list[RunEntry]) -> dict[str, LatestProgress]:
    """The latest progress of each run if it is from before the moment; only the latest one is kept."""
    assert reading.past is not None
    latest = find.progress(reading.cursor, [entry.id for entry in entries])
    found: dict[str, LatestProgress] = {}
    for entry in entries:
        key = run_key(entry.workspace, entry.id)
        progress = latest.get(key)
        if progress is None:
            continue
        ends = past.bounds_at(entry, reading.past)
        if progress.cursor <= ends.limit and (
            ends.until_us is None
            or progress.cursor <= ends.counted
            or msgspec.json.decode(progress.json, type=_Timed).time <= text_of(ends.until_us)
        ):
            found[key] = progress
    return found


class _Timed(msgspec.Struct):
    time: str


def listing(reading: Reading, query: RunList) -> Page:
    """``run.list``."""
    limit = page_limit(query.limit)
    lasting, lasting_params = _lasting(reading, query)
    states, state_params = _states(query)
    unchanged, at = _unchanged(reading)
    conditions, params = [*lasting, *states, unchanged], [*lasting_params, *state_params, *at]
    changed = [] if reading.past is None else past.changed_runs(reading, lasting, lasting_params)
    changed = [e for e in changed if not e.state.deleted and (not query.status or e.state.status in query.status)]
    total = None
    if query.count:
        sql = f"SELECT count(*) FROM book.runs WHERE {' AND '.join(conditions)}"  # noqa: S608 -- constants
        total = int(reading.rows(sql, params)[0][0]) + len(changed)
    ascending = query.order == "created_asc"
    if query.cursor:
        place = unpack_cursor(query.order, query.cursor)
        conditions.append("created > ?" if ascending else "created < ?")
        params.append(place)
        changed = [e for e in changed if (e.created > place if ascending else e.created < place)]
    order = f"ORDER BY created {'ASC' if ascending else 'DESC'}"
    # Chosen first by narrow columns: the wide ones are read of the rows that are shown only.
    sql = (
        f"SELECT {find.RUN_COLUMNS} FROM book.runs WHERE rowid IN ("  # noqa: S608 -- constants
        f"SELECT rowid FROM book.runs WHERE {' AND '.join(conditions)} {order} LIMIT {limit + 1}) {order}"
    )
    entries = [find.run_entry(row) for row in reading.rows(sql, params)]
    if changed:
        entries = sorted([*entries, *changed], key=lambda e: e.created, reverse=not ascending)
    more, entries = len(entries) > limit, entries[:limit]
    progress = _progress(reading, entries)
    return Page(
        items=[view(e, progress.get(run_key(e.workspace, e.id)), brief=query.brief) for e in entries],
        next_cursor=pack_cursor(query.order, entries[-1].created) if more else None,
        total=total,
    )


def _states(query: RunList) -> tuple[list[str], list[Any]]:
    """Conditions on what changes in the life of a run."""
    conditions: list[str] = [ALIVE]
    params: list[Any] = []
    if query.status:
        if unknown := set(query.status) - STATUSES:
            raise Invalid(
                "invalid_status", f"{min(unknown)[:80]!r} is no status; there are {', '.join(sorted(STATUSES))}."
            )
        conditions.append(f"status IN ({placeholders(query.status)})")
        params.extend(query.status)
    return conditions, params


def _lasting(reading: Reading, query: RunList) -> tuple[list[str], list[Any]]:
    """Conditions on what a run is created with and keeps."""
    conditions: list[str] = ["true"]
    params: list[Any] = []
    reading.scope(conditions, params)
    for column, value in (("workload", query.workload), ("dialect", query.dialect), ("parent", query.parent)):
        if value:
            conditions.append(f"{column} = ?")
            params.append(value)
    for key, value in query.labels.items():
        conditions.append("labels[?] = ?")
        params.extend((key, value))
    if query.search:
        conditions.append(f"({SEARCH})")
        params.extend([query.search.lower()] * 4)
    for condition, text in (("created_at > ?", query.created_after), ("created_at < ?", query.created_before)):
        if text:
            conditions.append(condition.replace("?", "make_timestamp(?)"))
            params.append(microseconds(text))
    return conditions, params


ACTIVITY = """
SELECT r.id, e.kind, e.name, e.count, epoch_us(e.first_time), epoch_us(e.last_time), e.last_cursor, e.first_cursor,
    CASE WHEN r.terminal THEN (r.signal_sequence << 16) | 65535 ELSE 9223372036854775807 END, r.attempt
FROM book.runs AS r LEFT JOIN book.emitted AS e
    ON e.run = r.id AND e.workspace = r.workspace AND e.attempt = r.attempt AND e.kind IN ('log', 'record')
WHERE r.id IN (SELECT unnest(?::VARCHAR[])) AND NOT r.deleted AND (? = '_' OR r.workspace = ?)
"""
# Lines that an attempt emitted after its verdict are counted out one run at a time: it happens after a kill only.
COUNT_BELOW = """
SELECT count(*), epoch_us(min_by(time, cursor)), epoch_us(max_by(time, cursor)) FROM {table}
WHERE run = ? AND attempt = ? AND cursor <= ? {condition}
"""


def activity(reading: Reading, query: RunActivity) -> list[Activity]:
    """``run.activity``; runs that do not exist are left out, the others come in the order asked for."""
    if len(query.ids) > MAX_IDS:
        raise Invalid("invalid_limit", f"run.activity takes at most {MAX_IDS} ids, not {len(query.ids)}.")
    found: dict[str, Activity] = {}
    for row in reading.rows(ACTIVITY, [query.ids, reading.workspace, reading.workspace]):
        run, kind, name, count, first, last, last_cursor, _, limit, attempt = row
        before = found.setdefault(
            run, Activity(run=run, attempt=attempt, logs=0, rows={}, first_row_at={}, last_at=None)
        )
        if kind is not None and last_cursor > limit:
            count, first, last = _below(reading, run, attempt, kind, name, limit)
        if kind is not None and count:
            found[run] = _with(before, kind, name, count, first, last)
    return [found[i] for i in dict.fromkeys(query.ids) if i in found]


def _below(reading: Reading, run: str, attempt: int, kind: str, name: str, limit: int) -> tuple[int, int, int]:
    if kind == "log":
        rows = reading.rows(COUNT_BELOW.format(table="book.logs", condition=""), [run, attempt, limit])
    else:
        sql = COUNT_BELOW.format(table="book.records", condition="AND kind = ?")
        rows = reading.rows(sql, [run, attempt, limit, name])
    count, first, last = rows[0]
    return count, first, last


def _with(before: Activity, kind: str, name: str, count: int, first: int, last: int) -> Activity:
    last_at = max(before.last_at or "", text_of(last))
    if kind == "log":
        return msgspec.structs.replace(before, logs=before.logs + count, last_at=last_at)
    rows, first_row_at = {**before.rows, name: count}, {**before.first_row_at, name: text_of(first)}
    return msgspec.structs.replace(before, rows=rows, first_row_at=first_row_at, last_at=last_at)

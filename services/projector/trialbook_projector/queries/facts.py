"""The ledger as a list: facts of a run, or of a workspace."""

from __future__ import annotations

from typing import Any

import msgspec

from trialbook.envelope import Event
from trialbook.queries import EventFilter, EventList, Page, RunFacts
from trialbook_projector.queries.reading import Reading, page_limit, placeholders, run_not_found, small
from trialbook_projector.times import microseconds, text_of

COLUMNS = (
    "sequence, workspace, kind, aggregate, type, id, epoch_us(time), actor, correlation, causation, source, "
    "traceparent, datakey, data"
)


def of_run(reading: Reading, query: RunFacts) -> Page:
    """``run.facts``; facts of a deleted run are still there."""
    entry = reading.stored(query.id)
    if reading.past is not None and entry.created > reading.past.sequence:
        raise run_not_found(query.id)
    conditions = ["kind = 'run'", "workspace = ?", "aggregate = ?", "sequence >= ?", "sequence <= ?"]
    # The run's first and last fact bound the scan to the row groups that can hold one.
    params: list[Any] = [entry.workspace, entry.id, entry.created, max(entry.sequence, reading.positions.facts)]
    return _page(reading, conditions, params, query.after, query.up_to, query.limit)


def listing(reading: Reading, query: EventList) -> Page:
    """``event.list``."""
    conditions, params = filters(reading, query)
    return _page(reading, conditions, params, query.after, query.up_to, query.limit)


def filters(reading: Reading, query: EventFilter) -> tuple[list[str], list[Any]]:
    """Conditions with their parameters, for everything but the range of sequences."""
    conditions: list[str] = ["true"]
    params: list[Any] = []
    reading.scope(conditions, params)
    for column in ("kind", "aggregate", "actor", "correlation"):
        if value := getattr(query, column):
            conditions.append(f"{column} = ?")
            params.append(value)
    if query.types:
        conditions.append(f"type IN ({placeholders(query.types)})")
        params.extend(query.types)
    for condition, text in (("time >= make_timestamp(?)", query.since), ("time < make_timestamp(?)", query.until)):
        if text:
            conditions.append(condition)
            params.append(microseconds(text))
    return conditions, params


def end_of(reading: Reading, up_to: int) -> int:
    """The last sequence to look at: as asked, as looked back to, and not beyond what is applied."""
    ends = [small(up_to, "up_to") or reading.positions.facts, reading.positions.facts]
    if reading.past is not None:
        ends.append(reading.past.sequence)
    return min(ends)


def _page(reading: Reading, conditions: list[str], params: list[Any], after: int, up_to: int, limit: int) -> Page:
    limit = page_limit(limit)
    conditions = [*conditions, "sequence > ?", "sequence <= ?"]
    params = [*params, small(after, "after"), end_of(reading, up_to)]
    sql = (
        f"SELECT {COLUMNS} FROM book.facts WHERE {' AND '.join(conditions)} "  # noqa: S608 -- constants
        f"ORDER BY sequence LIMIT {limit + 1}"
    )
    rows = reading.rows(sql, params)
    more, rows = len(rows) > limit, rows[:limit]
    return Page(
        items=[{"sequence": row[0], "event": event_of(row)} for row in rows],
        next_cursor=str(rows[-1][0]) if more else None,
    )


def event_of(row: Any) -> Event:
    """The event of a row of ``COLUMNS``."""
    _, workspace, kind, aggregate, type_, id_, time, actor, correlation, causation, source, *rest = row
    traceparent, datakey, data = rest
    return Event(
        specversion="1.0", id=id_, source=source, type=type_, subject=f"{workspace}/{kind}/{aggregate}",
        time=text_of(time), actor=actor, correlationid=correlation, causationid=causation, traceparent=traceparent,
        datakey=datakey, data=msgspec.Raw(data.encode()),
    )  # fmt: skip

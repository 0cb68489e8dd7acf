"""The ledger as a list: facts of a run, or of a workspace."""

from __future__ import annotations

from typing import Any

import msgspec

from trialbook.envelope import Event
from trialbook.queries import EventList, Page, RunFacts
from trialbook_projector.queries.reading import Reading, page_limit, placeholders, small
from trialbook_projector.times import text_of

COLUMNS = (
    "sequence, workspace, kind, aggregate, type, id, epoch_us(time), actor, correlation, causation, source, "
    "traceparent, data"
)


def of_run(reading: Reading, query: RunFacts) -> Page:
    """``run.facts``; facts of a deleted run are still there."""
    entry = reading.run(query.id, deleted=True)
    conditions = ["kind = 'run'", "workspace = ?", "aggregate = ?", "sequence >= ?", "sequence <= ?"]
    # The run's first and last fact bound the scan to the row groups that can hold one.
    params: list[Any] = [entry.workspace, entry.id, entry.created, max(entry.sequence, reading.positions.facts)]
    return _page(reading, conditions, params, query.after, query.up_to, query.limit)


def listing(reading: Reading, query: EventList) -> Page:
    """``event.list``."""
    conditions: list[str] = ["true"]
    params: list[Any] = []
    reading.scope(conditions, params)
    for column, value in (("kind", query.kind), ("aggregate", query.aggregate)):
        if value:
            conditions.append(f"{column} = ?")
            params.append(value)
    if query.types:
        conditions.append(f"type IN ({placeholders(query.types)})")
        params.extend(query.types)
    return _page(reading, conditions, params, query.after, query.up_to, query.limit)


def _page(reading: Reading, conditions: list[str], params: list[Any], after: int, up_to: int, limit: int) -> Page:
    limit = page_limit(limit)
    conditions = [*conditions, "sequence > ?"]
    params = [*params, small(after, "after")]
    if small(up_to, "up_to"):
        conditions.append("sequence <= ?")
        params.append(up_to)
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
    _, workspace, kind, aggregate, type_, id_, time, actor, correlation, causation, source, traceparent, data = row
    return Event(
        specversion="1.0", id=id_, source=source, type=type_, subject=f"{workspace}/{kind}/{aggregate}",
        time=text_of(time), actor=actor, correlationid=correlation, causationid=causation, traceparent=traceparent,
        data=msgspec.Raw(data.encode()),
    )  # fmt: skip

"""What runs have emitted: log lines, metric points, rows."""

from __future__ import annotations

from typing import Any

import msgspec

from trialbook.errors import Invalid
from trialbook.queries import (
    LogPage,
    LogView,
    MetricCompare,
    MetricPoint,
    Page,
    RowView,
    RunLogs,
    RunMetrics,
    RunRows,
)
from trialbook.signals import LEVELS
from trialbook_projector.queries import past
from trialbook_projector.queries.reading import NO_LIMIT, Bounds, Reading, page_limit, small
from trialbook_projector.tables import find
from trialbook_projector.times import text_of

LOG_COLUMNS = "cursor, epoch_us(time), level, message, logger, step, attempt, data"
METRIC_COLUMNS = "cursor, epoch_us(time), name, value, index, unit, step, attempt"
MAX_POINTS = 10_000
MAX_RUNS = 1000
MARGIN = 4
"""How many times the expected distance the first look goes: lines come in bursts."""
LOG_EXTENT = """
SELECT coalesce(sum(count), 0), coalesce(min(first_cursor), 0), coalesce(max(last_cursor), 0)
FROM book.emitted WHERE run = ? AND workspace = ? AND kind = 'log'
"""


def logs(reading: Reading, query: RunLogs) -> LogPage:
    """``run.logs``."""
    limit = page_limit(query.limit)
    bounds = past.bounds(reading, query.id)
    total, first, last = _extent(reading, bounds)
    last = min(last, bounds.limit)
    forward = query.after is not None or query.since_us is not None
    conditions, params = _log_filters(bounds, query)
    ranges = _ranges(query, total, first, last)
    rows: list[Any] = []
    for low, high in ranges if total else ():
        rows = reading.rows(
            f"SELECT {LOG_COLUMNS} FROM book.logs WHERE {' AND '.join(conditions)} "  # noqa: S608 -- constants
            f"ORDER BY cursor {'ASC' if forward else 'DESC'} LIMIT {limit + 1}",
            [*params, low, high],
        )
        if len(rows) > limit:
            break
    more, rows = len(rows) > limit, rows[:limit]
    if not forward:
        rows.reverse()
    state = bounds.run.state
    return LogPage(
        items=[_log(row) for row in rows],
        has_more=more,
        total=total,
        next_cursor=rows[-1][0] if rows else query.after or 0,
        complete=state.terminal and reading.positions.signals >= state.signal_sequence,
    )


def _ranges(query: RunLogs, total: int, first: int, last: int) -> list[tuple[int, int]]:
    """The cursors to look between, all of them last.

    First is a short range that should hold the page, going by how densely the run's lines lie in the stream: a fraction
    of one row group is read then instead of sorting all the rows of the run in it.
    """
    width = MARGIN * (query.limit + 1) * max(0, last - first) // max(1, total) + (2 << 16)
    if query.after is not None:
        first = max(first, small(query.after, "A cursor") + 1)
    if query.before is not None:
        last = min(last, small(query.before, "A cursor") - 1)
    everything = (first, last)
    if query.since_us is not None or query.level or query.logger or query.step or query.attempt or query.contains:
        return [everything]
    if width >= last - first:
        return [everything]
    return [(first, first + width) if query.after is not None else (last - width, last), everything]


def _extent(reading: Reading, bounds: Bounds) -> tuple[int, int, int]:
    """Lines of the run, first and last cursor."""
    run = bounds.run
    known = _remembered(reading, bounds) if reading.past is None else None
    total, first, last = known or reading.rows(LOG_EXTENT, [run.id, run.workspace])[0]
    if last > bounds.limit or bounds.until_us is not None:  # lines after the verdict do not exist for readers
        conditions = ["run = ?", "workspace = ?", "cursor BETWEEN ? AND ?"]
        params: list[Any] = [run.id, run.workspace, first, bounds.limit]
        bounds.cut(conditions, params)
        total = reading.rows(f"SELECT count(*) FROM book.logs WHERE {' AND '.join(conditions)}", params)[0][0]  # noqa: S608 -- constants
    return int(total), first, last


def _remembered(reading: Reading, bounds: Bounds) -> tuple[int, int, int] | None:
    """The same from memory, if every attempt is remembered; an attempt ahead of its facts counts too."""
    run = bounds.run
    last_attempt = max(1, run.state.attempt)
    entries = [
        reading.caches.emitted.get(f"{run.workspace}/{run.id}/{attempt}/log/") for attempt in range(1, last_attempt + 2)
    ]
    if None in entries[:last_attempt]:
        return None
    known = [entry for entry in entries if entry is not None]
    return sum(k.count for k in known), known[0].first_cursor, max(k.last_cursor for k in known)


def _log_filters(bounds: Bounds, query: RunLogs) -> tuple[list[str], list[Any]]:
    """Conditions, of which the last two parameters are still missing: the cursors to look between."""
    conditions = ["run = ?", "workspace = ?"]
    params: list[Any] = [bounds.run.id, bounds.run.workspace]
    bounds.cut(conditions, params)
    if query.since_us is not None:
        conditions.append("time > make_timestamp(?)")
        params.append(min(small(query.since_us, "since_us"), 253_402_300_800_000_000))
    if query.level:
        if query.level not in LEVELS:
            raise Invalid("invalid_level", f"{query.level[:80]!r} is no level; there are {', '.join(LEVELS)}.")
        for below in LEVELS[: LEVELS.index(query.level)]:
            conditions.append("level <> ?")
            params.append(below)
    for column, value in (("logger", query.logger), ("step", query.step), ("attempt", query.attempt)):
        if value:
            conditions.append(f"{column} = ?")
            params.append(value)
    if query.contains:
        conditions.append("contains(lower(message), ?)")
        params.append(query.contains.lower())
    conditions.append("cursor BETWEEN ? AND ?")
    return conditions, params


def _log(row: Any) -> LogView:
    cursor, time, level, message, logger, step, attempt, data = row
    return LogView(
        cursor=cursor, time=text_of(time), level=level, message=message, logger=logger, step=step, attempt=attempt,
        data=None if data is None else msgspec.Raw(data.encode()),
    )  # fmt: skip


# Chosen are the first points of `points - 1` buckets of equal size, and the last point of all.
SAMPLED = """
SELECT * EXCLUDE (position, total) FROM (
    SELECT *, row_number() OVER (PARTITION BY {group} ORDER BY cursor) - 1 AS position,
        count(*) OVER (PARTITION BY {group}) AS total
    FROM ({query}))
WHERE total <= $points OR position = total - 1 OR (position = 0 AND $points > 1)
    OR (position * ($points - 1)) // (total - 1) <> ((position - 1) * ($points - 1)) // (total - 1)
ORDER BY {group}, cursor
"""


def metrics(reading: Reading, query: RunMetrics) -> Page:
    """``run.metrics``."""
    bounds = past.bounds(reading, query.id)
    sql = (
        f"SELECT {METRIC_COLUMNS} FROM book.metrics "  # noqa: S608 -- constants
        "WHERE run = $run AND workspace = $workspace AND cursor <= $limit AND cursor > $after"
    )
    params: dict[str, Any] = {
        "run": bounds.run.id,
        "workspace": bounds.run.workspace,
        "limit": bounds.limit,
        "after": -1 if query.after is None else small(query.after, "A cursor"),
    }
    if query.name:
        sql, params["name"] = sql + " AND name = $name", query.name
    if bounds.until_us is not None:
        sql += " AND (cursor <= $counted OR time <= make_timestamp($until))"
        params |= {"counted": bounds.counted, "until": bounds.until_us}
    if query.max_points:
        params["points"] = _points(query.max_points)
        rows = reading.cursor.execute(SAMPLED.format(group="name", query=sql), params).fetchall()
        return Page(items=[_metric(row) for row in rows])
    limit = page_limit(query.limit)
    # sql: a constant and a number
    rows = reading.cursor.execute(f"{sql} ORDER BY cursor LIMIT {limit + 1}", params).fetchall()
    more, rows = len(rows) > limit, rows[:limit]
    return Page(items=[_metric(row) for row in rows], next_cursor=str(rows[-1][0]) if more else None)


def _points(number: int) -> int:
    """Check a number of points: 1 (the last one only) to 10,000. Raises ``Invalid`` (code ``invalid_limit``)."""
    if not 1 <= number <= MAX_POINTS:
        raise Invalid("invalid_limit", f"max_points must be 1 to {MAX_POINTS}, not {number}.")
    return number


def _metric(row: Any) -> MetricPoint:
    cursor, time, name, value, index, unit, step, attempt = row
    return MetricPoint(
        cursor=cursor, time=text_of(time), name=name, value=value, index=index, unit=unit, step=step, attempt=attempt
    )


COMPARED = """
SELECT m.run, m.cursor, epoch_us(m.time) AS time, m.value, m.index,
    last_value(m.value) OVER everything AS last, min(m.value) OVER everything AS least,
    max(m.value) OVER everything AS most, count(*) OVER everything AS number
FROM book.metrics AS m SEMI JOIN ({runs}) AS r
    ON m.run = r.id AND m.workspace = r.workspace AND m.cursor <= r.bound
        AND (m.cursor <= r.counted OR m.time <= r.until)
WHERE m.name = $metric AND m.run IN (SELECT unnest($runs::VARCHAR[]))
WINDOW everything AS (PARTITION BY m.run ORDER BY m.cursor ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
"""
RUNS_NOW = """
SELECT id, workspace, CASE WHEN terminal THEN (signal_sequence << 16) | 65535 ELSE 9223372036854775807 END AS bound,
    9223372036854775807 AS counted, CAST(NULL AS TIMESTAMP) AS until
FROM book.runs WHERE id IN (SELECT unnest($runs::VARCHAR[])) AND NOT deleted AND ($everywhere OR workspace = $workspace)
"""
RUNS_THEN = """
SELECT unnest($runs::VARCHAR[]) AS id, unnest($spaces::VARCHAR[]) AS workspace, unnest($bounds::BIGINT[]) AS bound,
    unnest($counted::BIGINT[]) AS counted, make_timestamp(unnest($until::BIGINT[])) AS until
"""


def compare(reading: Reading, query: MetricCompare) -> list[dict[str, Any]]:
    """``metric.compare``: ``points`` are ``{cursor, index, time, value}``; runs without the metric are left out."""
    if len(query.runs) > MAX_RUNS:
        raise Invalid("invalid_limit", f"metric.compare takes at most {MAX_RUNS} runs, not {len(query.runs)}.")
    params: dict[str, Any] = {"metric": query.metric, "points": _points(query.max_points)}
    if reading.past is None:
        runs = RUNS_NOW
        params |= {"runs": query.runs, "workspace": reading.workspace, "everywhere": reading.workspace == "_"}
    else:
        runs = RUNS_THEN
        params |= _runs_then(reading, query.runs)
    found: dict[str, dict[str, Any]] = {}
    sql = SAMPLED.format(group="run", query=COMPARED.format(runs=runs))
    for row in reading.cursor.execute(sql, params).fetchall():
        run, cursor, time, value, index, last, least, most, number = row
        if run not in found:
            found[run] = {"run": run, "last": last, "min": least, "max": most, "count": number, "points": []}
        found[run]["points"].append({"cursor": cursor, "index": index, "time": text_of(time), "value": value})
    return [found[run] for run in dict.fromkeys(query.runs) if run in found]


def _runs_then(reading: Reading, ids: list[str]) -> dict[str, list[Any]]:
    """Runs that there were at the reading's moment, and the ends of their signals then."""
    assert reading.past is not None
    conditions, params = ["id IN (SELECT unnest(?::VARCHAR[]))"], [ids]
    reading.scope(conditions, params)
    sql = f"SELECT {find.RUN_COLUMNS} FROM book.runs WHERE {' AND '.join(conditions)}"  # noqa: S608 -- constants
    known = [past.run_at(reading, find.run_entry(row)) for row in reading.rows(sql, params)]
    ends = [past.bounds_at(entry, reading.past) for entry in known if entry is not None and not entry.state.deleted]
    return {
        "runs": [end.run.id for end in ends],
        "spaces": [end.run.workspace for end in ends],
        "bounds": [end.limit for end in ends],
        "counted": [NO_LIMIT if end.until_us is None else end.counted for end in ends],
        "until": [end.until_us or 0 for end in ends],
    }


def rows(reading: Reading, query: RunRows) -> Page:
    """``run.rows``."""
    limit = page_limit(query.limit)
    bounds = past.bounds(reading, query.id)
    run = bounds.run
    conditions = ["run = ?", "workspace = ?", "kind = ?", "attempt = ?", "index > ?", "cursor <= ?"]
    attempt = query.attempt or run.state.attempt
    params: list[Any] = [run.id, run.workspace, query.kind, attempt, query.after_index, bounds.limit]
    bounds.cut(conditions, params)
    found = reading.rows(
        "SELECT index, id, kind, epoch_us(time), attempt, data FROM book.records "  # noqa: S608 -- constants
        f"WHERE {' AND '.join(conditions)} ORDER BY index, cursor LIMIT {limit + 1}",
        params,
    )
    more, found = len(found) > limit, found[:limit]
    return Page(items=[_row(row) for row in found], next_cursor=str(found[-1][0]) if more else None)


def _row(row: Any) -> RowView:
    index, id_, kind, time, attempt, data = row
    return RowView(index=index, id=id_, kind=kind, time=text_of(time), attempt=attempt, data=msgspec.Raw(data.encode()))

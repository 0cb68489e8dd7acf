"""Typed questions to a projector and their answers, asked on ``ask.<workspace>.<NAME>`` by NATS request/reply.

Every query has ``at_least``: the answer is given only when the projector has applied that fact sequence (a client
reads its own writes), and ``at_least_signals`` likewise for SIGNALS. List cursors are opaque text. Limits are bounded
by the projector: 1 to 1000 rows.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import msgspec

from trialbook.answers import (
    Activity,
    Answer,
    DataSubjectView,
    ItemView,
    LedgerPage,
    LinesEnd,
    LogPage,
    LogView,
    MetricPoint,
    Page,
    ProjectorHealth,
    RowView,
    SegmentList,
    SegmentView,
    SqlResult,
)

__all__ = [
    "Activity",
    "Answer",
    "DataSubjectView",
    "ItemView",
    "LedgerPage",
    "LinesEnd",
    "LogPage",
    "LogView",
    "MetricPoint",
    "Page",
    "ProjectorHealth",
    "RowView",
    "SegmentList",
    "SegmentView",
    "SqlResult",
]
"""The answers, which whoever asks needs as well."""

PAGE_LIMIT = 1000


class Query(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Base of all queries; ``NAME`` is the last token(s) of the subject."""

    NAME: ClassVar[str]
    at_least: int = 0
    at_least_signals: int = 0


class Dated(Query, frozen=True, kw_only=True):
    """A query that can look back: ``as_of`` is a sequence or an RFC 3339 time (a date: midnight UTC), empty: now.

    Everything is answered as it was after that fact (of a time: after the last fact that is not later). Signals of a
    run that was finished then are those up to its verdict; otherwise those whose own time is not later than the given
    time, or than the time of the given fact. The answer's ``facts`` is the sequence that was looked back to.
    """

    as_of: str = ""


class RunGet(Dated, frozen=True, kw_only=True):
    """One run by ``id`` or by its unique ``name`` -> RunView. Deleted runs are not found."""

    NAME = "run.get"
    id: str = ""
    name: str = ""


class RunList(Dated, frozen=True, kw_only=True):
    """Runs -> Page of RunView, newest first (``order`` ``created_asc``: oldest first). Filters are combined with and.

    ``search`` is a case-insensitive part of id, name, title or workload. Times are RFC 3339. ``total`` counts all
    matches when ``count`` is set.
    """

    NAME = "run.list"
    status: list[str] = []
    workload: str = ""
    dialect: str = ""
    parent: str = ""
    labels: dict[str, str] = {}
    search: str = ""
    created_after: str = ""
    created_before: str = ""
    order: Literal["created_desc", "created_asc"] = "created_desc"
    limit: int = 50
    cursor: str = ""
    count: bool = False
    brief: bool = False
    """Leave out params, result, steps, extra (they are empty) for quick lists."""


class RunFacts(Dated, frozen=True, kw_only=True):
    """Facts of one run after a sequence -> Page of ``{sequence, event}``, ascending. ``up_to`` 0: no upper end."""

    NAME = "run.facts"
    id: str
    after: int = 0
    up_to: int = 0
    limit: int = 100


class RunLogs(Dated, frozen=True, kw_only=True):
    """Log lines of a run -> LogPage, always in ascending cursor order.

    Without ``after`` and ``since_us``: the newest ``limit`` lines (``before`` goes back from a cursor). With
    ``after``: strictly after that cursor. ``since_us`` (Unix microseconds): strictly newer. For a finished run only
    lines up to the verdict's signal sequence exist. ``level`` is the least level, ``contains`` a case-insensitive
    part of the message, ``attempt`` 0: all.
    """

    NAME = "run.logs"
    id: str
    after: int | None = None
    before: int | None = None
    since_us: int | None = None
    limit: int = 100
    level: str = ""
    logger: str = ""
    step: str = ""
    contains: str = ""
    attempt: int = 0


class RunMetrics(Dated, frozen=True, kw_only=True):
    """Metric points of a run in cursor order -> Page of MetricPoint; ``name`` empty: all metrics.

    ``max_points`` > 0 returns instead at most that many points per metric, evenly chosen, always with first and last.
    """

    NAME = "run.metrics"
    id: str
    name: str = ""
    after: int | None = None
    limit: int = 1000
    max_points: int = 0


class RunRows(Dated, frozen=True, kw_only=True):
    """Rows (record signals) of a run -> Page of RowView in index order; ``attempt`` 0: the run's latest attempt."""

    NAME = "run.rows"
    id: str
    kind: str
    attempt: int = 0
    after_index: int = 0
    limit: int = 1000


class RunActivity(Query, frozen=True, kw_only=True):
    """Counts and times of what many runs have emitted -> list of Activity, for dialects' lists. At most 1000 ids."""

    NAME = "run.activity"
    ids: list[str]


class MetricCompare(Dated, frozen=True, kw_only=True):
    """One metric over many runs -> list of ``{run, last, min, max, count, points}``; ``points`` evenly chosen."""

    NAME = "metric.compare"
    metric: str
    runs: list[str]
    max_points: int = 200


class EventFilter(Dated, frozen=True, kw_only=True):
    """Which facts of the workspace (``_``: all): after a sequence, up to one (0: the end), all filters combined.

    ``since`` and ``until`` (RFC 3339; a date: midnight UTC) bound the facts' own times: not before the one, before the
    other.
    """

    NAME = ""
    after: int = 0
    up_to: int = 0
    types: list[str] = []
    kind: str = ""
    aggregate: str = ""
    actor: str = ""
    correlation: str = ""
    since: str = ""
    until: str = ""
    limit: int = 100


class EventList(EventFilter, frozen=True, kw_only=True):
    """Facts of the workspace after a sequence -> Page of ``{sequence, event}``, ascending."""

    NAME = "event.list"


class EventLines(EventFilter, frozen=True, kw_only=True):
    """The same facts, for reading very many -> bytes: one ``{sequence, event}`` per line (``application/x-ndjson``).

    As many as fit in a reply, at most ``limit`` (up to 100,000); the last line is a LinesEnd.
    """

    NAME = "event.lines"


class DiffOne(Query, frozen=True, kw_only=True):
    """One run or item between two moments (sequences or RFC 3339 times; ``until`` empty: now) -> history.Difference."""

    NAME = "diff.one"
    kind: Literal["run", "workspace", "file", "dataset", "model"]
    id: str
    since: str
    until: str = ""


class DiffWorkspace(Query, frozen=True, kw_only=True):
    """What was created, changed and deleted in the workspace between two moments -> history.Changes, by first fact."""

    NAME = "diff.workspace"
    since: str
    until: str = ""
    kinds: list[str] = []
    limit: int = 100
    cursor: str = ""


class AuditTrail(Dated, frozen=True, kw_only=True):
    """The facts about one thing (its id or name), or of one request (correlation), in order -> history.Trail."""

    NAME = "audit.trail"
    id: str
    after: int = 0
    limit: int = 200


class ItemGet(Dated, frozen=True, kw_only=True):
    """One workspace, file, dataset or model -> ItemView. By ``id`` or, for named kinds, ``name``."""

    NAME = "item.get"
    kind: Literal["workspace", "file", "dataset", "model"]
    id: str = ""
    name: str = ""


class ItemList(Dated, frozen=True, kw_only=True):
    """Workspaces, files, datasets or models that are not deleted -> Page of ItemView in creation order."""

    NAME = "item.list"
    kind: Literal["workspace", "file", "dataset", "model"]
    search: str = ""
    limit: int = 100
    cursor: str = ""


class Sql(Dated, frozen=True, kw_only=True):
    """One SELECT over the workspace's tables -> SqlResult (json) or bytes (arrow, csv, parquet)."""

    NAME = "sql"
    sql: str
    params: list[Any] = []
    format: Literal["json", "arrow", "csv", "parquet"] = "json"
    max_rows: int = 10_000
    timeout_s: float = 10.0


class DataSubjectScope(Query, frozen=True, kw_only=True):
    """What belongs to a data subject, by the id of its key -> DataSubjectView; ``runs_only``: what is unfinished."""

    NAME = "datasubject.scope"
    datakey: str
    runs_only: bool = False


class Health(Query, frozen=True, kw_only=True):
    """The projector's own state -> ProjectorHealth."""

    NAME = "health"


class LedgerFacts(Query, frozen=True, kw_only=True):
    """Facts of one aggregate as they were sealed into segments, payload bytes unchanged -> LedgerPage."""

    NAME = "ledger.facts"
    kind: str
    id: str
    after: int = 0


class LedgerSegments(Query, frozen=True, kw_only=True):
    """What is sealed, and where -> SegmentList. ``verify``: read every segment and compare it with its record."""

    NAME = "ledger.segments"
    verify: bool = False


def moments(query: Query) -> tuple[str, ...]:
    """The moments that a question looks back to (sequences or times); empty text: now."""
    if isinstance(query, DiffOne | DiffWorkspace):
        return query.since, query.until
    return (query.as_of,) if isinstance(query, Dated) and query.as_of else ()


QUERIES: dict[str, type[Query]] = {
    q.NAME: q
    for q in (
        RunGet,
        RunList,
        RunFacts,
        RunLogs,
        RunMetrics,
        RunRows,
        RunActivity,
        MetricCompare,
        EventList,
        EventLines,
        DiffOne,
        DiffWorkspace,
        AuditTrail,
        ItemGet,
        ItemList,
        Sql,
        DataSubjectScope,
        Health,
        LedgerFacts,
        LedgerSegments,
    )
}

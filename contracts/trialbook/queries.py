"""Typed questions to a projector and their answers, asked on ``ask.<workspace>.<NAME>`` by NATS request/reply.

Every query has ``at_least``: the answer is given only when the projector has applied that fact sequence (a client
reads its own writes), and ``at_least_signals`` likewise for SIGNALS. List cursors are opaque text. Limits are bounded
by the projector: 1 to 1000 rows.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import msgspec

from trialbook.envelope import OptionalRaw, Recorded

PAGE_LIMIT = 1000


class Query(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Base of all queries; ``NAME`` is the last token(s) of the subject."""

    NAME: ClassVar[str]
    at_least: int = 0
    at_least_signals: int = 0


class Dated(Query, frozen=True, kw_only=True):
    """A query that can look back: ``as_of`` is a fact's sequence or an RFC 3339 time, empty: now.

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

    ``since`` and ``until`` (RFC 3339) bound the facts' own times: not before the one, before the other.
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

    As many as fit in a reply, at most ``limit`` (up to 100,000); an empty line at the end says that there are no more.
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


class Sql(Query, frozen=True, kw_only=True):
    """One SELECT over the workspace's tables -> SqlResult (json) or bytes (arrow, csv, parquet)."""

    NAME = "sql"
    sql: str
    params: list[Any] = []
    format: Literal["json", "arrow", "csv", "parquet"] = "json"
    max_rows: int = 10_000
    timeout_s: float = 10.0


class DataSubjectScope(Query, frozen=True, kw_only=True):
    """What belongs to a data subject, by the id of its key -> DataSubjectView."""

    NAME = "datasubject.scope"
    datakey: str


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


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """A page: ``next_cursor`` null at the end; ``total`` null unless asked for."""

    items: list[Any]
    next_cursor: str | None = None
    total: int | None = None


class LedgerPage(msgspec.Struct, frozen=True, kw_only=True):
    """Facts in ledger order; ``more``: ask again after the last one."""

    items: list[Recorded] = []
    more: bool = False


class SegmentView(msgspec.Struct, frozen=True, kw_only=True):
    """A sealed segment: facts ``first`` to ``last``, the size of its file in bytes, its digests in hex.

    ``problem`` says what is wrong with it; null when nothing is, or when it was not verified.
    """

    name: str
    first: int
    last: int
    count: int
    bytes: int
    sha256: str
    root: str
    parquet: str
    written_at: str
    problem: str | None = None


class SegmentList(msgspec.Struct, frozen=True, kw_only=True):
    """Facts up to ``sealed_to`` are in segments at ``location``; ``in_stream`` counts what is left of these facts in
    the stream, and ``last`` is the ledger's last sequence.
    """

    sealed_to: int
    last: int
    in_stream: int
    location: str
    segments: list[SegmentView] = []
    verified: bool = False


class LogView(msgspec.Struct, frozen=True, kw_only=True):
    """A stored log line; ``time`` RFC 3339 UTC, ``cursor`` its position (also unique)."""

    cursor: int
    time: str
    level: str
    message: str | None
    logger: str | None
    step: str | None
    attempt: int
    data: OptionalRaw


class LogPage(msgspec.Struct, frozen=True, kw_only=True):
    """``has_more`` in the direction of reading (older lines when the newest were asked for); ``total`` counts all
    lines of the run, whatever the filter; ``complete``: the run is finished and every line is stored.
    """

    items: list[LogView]
    has_more: bool
    total: int
    next_cursor: int
    complete: bool


class MetricPoint(msgspec.Struct, frozen=True, kw_only=True):
    """A stored measurement."""

    cursor: int
    time: str
    name: str
    value: float | None
    index: int
    unit: str
    step: str | None
    attempt: int


class RowView(msgspec.Struct, frozen=True, kw_only=True):
    """A stored row."""

    index: int
    id: str
    kind: str
    time: str
    attempt: int
    data: msgspec.Raw


class Activity(msgspec.Struct, frozen=True, kw_only=True):
    """What one run has emitted in its latest attempt: rows per kind, log lines, first and last times (RFC 3339 or
    null).
    """

    run: str
    logs: int
    rows: dict[str, int]
    first_row_at: dict[str, str]
    last_at: str | None


class ItemView(msgspec.Struct, frozen=True, kw_only=True):
    """A workspace, file, dataset or model: ``data`` is its state as the domain knows it."""

    kind: str
    id: str
    workspace: str
    sequence: int
    data: dict[str, Any]


class SqlResult(msgspec.Struct, frozen=True, kw_only=True):
    """Rows as arrays in column order; ``truncated``: the row cap was reached."""

    columns: list[dict[str, str]]
    rows: list[list[Any]]
    truncated: bool
    elapsed_ms: float


class DataSubjectView(msgspec.Struct, frozen=True, kw_only=True):
    """What belongs to a data subject: aggregates by kind, runs that are not finished (at most 100 ids), and the digests
    (sha256) that only facts of this data subject name.
    """

    aggregates: dict[str, list[str]]
    unfinished: list[str]
    digests: list[str]


class ProjectorHealth(msgspec.Struct, frozen=True, kw_only=True):
    """``lag_*``: messages in the stream that are not applied yet; ``parked``: poison events put aside."""

    id: str
    version: str
    schema_version: int
    facts: int
    signals: int
    lag_facts: int
    lag_signals: int
    parked: int
    database_bytes: int
    started_at: str


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The reply to a query: exactly one of ``result`` and ``error`` is there. ``facts`` and ``signals`` are the
    sequences that were applied when it was answered. ``error`` is ``{kind, code, detail, extra}`` (see
    ``trialbook.errors``).

    Binary results (arrow, csv, parquet) come as a JSON-less reply: header ``Trialbook-Media-Type``, payload the bytes.
    """

    facts: int = 0
    signals: int = 0
    result: OptionalRaw = None
    error: dict[str, Any] | None = None

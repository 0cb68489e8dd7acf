"""What a projector answers: pages, views and the envelope of every reply. Questions are in ``trialbook.queries``."""

from __future__ import annotations

from typing import Any

import msgspec

from trialbook.envelope import OptionalRaw, Recorded


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """A page: ``next_cursor`` null at the end; ``total`` null unless asked for."""

    items: list[Any]
    next_cursor: str | None = None
    total: int | None = None


class LinesEnd(msgspec.Struct, frozen=True, kw_only=True):
    """The last line of facts as lines: go on ``after`` this sequence; ``more``: until ``up_to`` there may be more."""

    after: int
    more: bool
    up_to: int


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
    attempt: int = 0
    """The latest attempt."""


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

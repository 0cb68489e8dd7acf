"""Requests about runs."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator

from trialbook_gateway.schemas.base import (
    CURSOR_MAX,
    SEQUENCE_MAX,
    Body,
    Dated,
    LabelFilter,
    Labels,
    Name,
    Slug,
    Title,
)

Status = Literal["created", "queued", "running", "paused", "completed", "failed", "cancelled"]
InputName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$")]
InputRef = Annotated[str, StringConstraints(pattern=r"^(?:[0-9a-f]{64}|[0-9a-f]{32})$")]
MAX_DELAY_S = 7 * 24 * 3600.0


class RetryIn(Body):
    """How failed and lost attempts are repeated; times in seconds."""

    max_attempts: Annotated[int, Field(ge=1, le=1000)] = 1
    backoff_s: Annotated[float, Field(ge=0, le=MAX_DELAY_S)] = 1.0
    factor: Annotated[float, Field(ge=1, le=100)] = 2.0
    max_backoff_s: Annotated[float, Field(ge=0, le=MAX_DELAY_S)] = 60.0
    max_lost: Annotated[int, Field(ge=0, le=1000)] = 3


class SweepIn(Body):
    """One child run per combination (``grid``) or per entry (``list``), each over the order's ``params``."""

    grid: Annotated[dict[str, Annotated[list[Any], Field(min_length=1)]] | None, Field(min_length=1)] = None
    entries: Annotated[list[dict[str, Any]] | None, Field(alias="list", min_length=1)] = None
    max_parallel: Annotated[int, Field(ge=1, le=1000)] | None = None
    on_failure: Literal["continue", "stop"] = "continue"

    @model_validator(mode="after")
    def _one_of(self) -> SweepIn:
        if (self.grid is None) == (self.entries is None):
            raise ValueError("give exactly one of grid and list")
        return self


class RunCreate(Body):
    """An order: which workload with which parameters, and under which rules."""

    workload: Slug
    params: Annotated[dict[str, Any], Field(default_factory=dict)]
    name: Name | None = None
    title: Title = ""
    labels: Annotated[Labels, Field(default_factory=dict)]
    pool: Slug | None = None
    lane: Annotated[
        str, Field(max_length=200, description="Runs of one lane are executed one after another, in order of queueing.")
    ] = ""
    priority: Literal["critical", "high", "normal", "low"] = "normal"
    isolation: Literal["inline", "task", "process", "sandbox"] | None = None
    timeout_s: Annotated[float, Field(gt=0, le=30 * 24 * 3600)] | None = None
    retry: Annotated[RetryIn, Field(default_factory=RetryIn)]
    seed: Annotated[int, Field(ge=0, le=(1 << 63) - 1)] = 0
    inputs: Annotated[dict[InputName, InputRef], Field(default_factory=dict, max_length=256)]
    start: bool = True
    sweep: SweepIn | None = None


class CancelIn(Body):
    """Why a run is cancelled."""

    reason: Annotated[str, Field(max_length=1000)] = ""


class RunGetQuery(Dated):
    """Parameters of reading one run."""

    wait: Annotated[float, Field(ge=0, le=60, description="Seconds to wait for the end of the run.")] = 0.0


class RunListQuery(Dated):
    """Filters of the list of runs, combined with and."""

    status: Annotated[list[Status], Field(default_factory=list, max_length=7)]
    workload: Annotated[str, Field(max_length=63)] = ""
    dialect: Annotated[str, Field(max_length=63)] = ""
    label: Annotated[
        list[LabelFilter], Field(default_factory=list, max_length=16, description="key:value; may be repeated.")
    ]
    q: Annotated[str, Field(max_length=200, description="Part of id, name, title or workload.")] = ""
    parent: Annotated[str, Field(max_length=36)] = ""
    created_after: Annotated[str, Field(max_length=40, description="RFC 3339 time; a date is midnight UTC.")] = ""
    created_before: Annotated[str, Field(max_length=40, description="The same; a date's own day is not included.")] = ""
    order: Literal["created_desc", "created_asc"] = "created_desc"
    limit: Annotated[int, Field(ge=1, le=1000)] = 50
    cursor: Annotated[str, Field(max_length=500)] = ""
    count: bool = False
    brief: Annotated[bool, Field(description="Leave out params, result, steps and extra.")] = False


class FactsQuery(Dated):
    """Which facts."""

    after: Annotated[int, Field(ge=0, le=SEQUENCE_MAX)] = 0
    up_to: Annotated[int, Field(ge=0, le=SEQUENCE_MAX)] = 0
    limit: Annotated[int, Field(ge=1, le=1000)] = 100


class LogsQuery(Dated):
    """Which log lines. Without ``cursor`` and ``since``: the newest ``limit``; ``before`` pages back from a cursor."""

    cursor: Annotated[int | None, Field(ge=0, le=CURSOR_MAX, description="Lines after this cursor.")] = None
    before: Annotated[int | None, Field(ge=0, le=CURSOR_MAX)] = None
    since: Annotated[str, Field(max_length=40, description="Strictly newer lines; RFC 3339 or a date.")] = ""
    level: Annotated[Literal["debug", "info", "warning", "error", ""], Field(description="Least level.")] = ""
    logger: Annotated[str, Field(max_length=200)] = ""
    step: Annotated[str, Field(max_length=200)] = ""
    q: Annotated[str, Field(max_length=200, description="Part of the message.")] = ""
    attempt: Annotated[int, Field(ge=0, le=1 << 31)] = 0
    limit: Annotated[int, Field(ge=1, le=1000)] = 100
    at_least_signals: Annotated[int, Field(ge=0, le=SEQUENCE_MAX)] = 0


class MetricsQuery(Dated):
    """Which metric points; ``max_points`` thins every metric evenly."""

    name: Annotated[str, Field(max_length=200)] = ""
    cursor: Annotated[int | None, Field(ge=0, le=CURSOR_MAX)] = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 1000
    max_points: Annotated[int, Field(ge=0, le=1000)] = 0


class RowsQuery(Dated):
    """Which rows of a table."""

    attempt: Annotated[int, Field(ge=0, le=1 << 31)] = 0
    after_index: Annotated[int, Field(ge=0, le=CURSOR_MAX)] = 0
    limit: Annotated[int, Field(ge=1, le=1000)] = 1000


class ChildrenQuery(Dated):
    """A page of children."""

    status: Annotated[list[Status], Field(default_factory=list, max_length=7)]
    limit: Annotated[int, Field(ge=1, le=1000)] = 50
    cursor: Annotated[str, Field(max_length=500)] = ""
    count: bool = False

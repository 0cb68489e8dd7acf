"""Requests about the past: facts, differences, trails."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from trialbook_gateway.schemas.base import SEQUENCE_MAX, Consistent, Dated

Moment = Annotated[str, Field(max_length=40, description="A ledger sequence, RFC 3339 time, or date (midnight UTC).")]
Time = Annotated[str, Field(max_length=40, description="RFC 3339, with any offset; a date is midnight UTC.")]


class EventsQuery(Dated):
    """Facts of the workspace: after a sequence, up to one, with all filters combined."""

    after: Annotated[int, Field(ge=0, le=SEQUENCE_MAX)] = 0
    up_to: Annotated[int, Field(ge=0, le=SEQUENCE_MAX)] = 0
    type: Annotated[
        list[str], Field(default_factory=list, max_length=32, description="Event types, e.g. run.completed.v1.")
    ]
    kind: Annotated[str, Field(max_length=32, description="run, workspace, file, dataset, model or name.")] = ""
    aggregate: Annotated[str, Field(max_length=63, description="Id of one aggregate.")] = ""
    actor: Annotated[str, Field(max_length=200, description="Who did it.")] = ""
    correlation: Annotated[str, Field(max_length=200, description="The request that a fact belongs to.")] = ""
    since: Annotated[Time, Field(alias="from", description="Facts not before this time or date.")] = ""
    until: Annotated[Time, Field(alias="to", description="Facts before this time or date (not of it).")] = ""
    limit: Annotated[int | None, Field(ge=1, le=1000, description="Default 100; NDJSON without it has no limit.")] = (
        None
    )


class DiffQuery(Consistent):
    """Two moments."""

    since: Annotated[Moment, Field(alias="from", min_length=1)]
    until: Annotated[Moment, Field(alias="to", description="Default: now.")] = ""


class WorkspaceDiffQuery(DiffQuery):
    """Two moments, and a page of what differs."""

    kind: Annotated[
        list[Literal["run", "workspace", "file", "dataset", "model"]], Field(default_factory=list, max_length=5)
    ]
    limit: Annotated[int, Field(ge=1, le=1000)] = 100
    cursor: Annotated[str, Field(max_length=500)] = ""


class TrailQuery(Dated):
    """A page of the story."""

    after: Annotated[int, Field(ge=0, le=SEQUENCE_MAX)] = 0
    limit: Annotated[int, Field(ge=1, le=1000)] = 1000

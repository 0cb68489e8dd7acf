"""Requests about workspaces, files, datasets, models, SQL and comparisons."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from trialbook_gateway.schemas.base import (
    SEQUENCE_MAX,
    AsOf,
    Body,
    Dated,
    LabelFilter,
    Labels,
    Name,
    QueryModel,
    Slug,
    Title,
)
from trialbook_gateway.schemas.runs import InputRef

RunId = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
FileName = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f/\\]+$")]


class WorkspaceCreate(Body):
    """A new workspace: ``id`` is its token in every path and subject."""

    id: Slug
    title: Title = ""
    labels: Annotated[Labels, Field(default_factory=dict)]


class WorkspaceRename(Body):
    """Another title."""

    title: Annotated[str, Field(min_length=1, max_length=500)]


class ItemCreate(Body):
    """A dataset or model without versions; ``kind`` says in your words what its files are."""

    name: Name
    description: Annotated[str, Field(max_length=10_000)] = ""
    kind: Annotated[str, Field(max_length=100)] = ""
    labels: Annotated[Labels, Field(default_factory=dict)]


class VersionCreate(Body):
    """A version of stored bytes: file name -> sha256 or id of an uploaded file. ``run`` produced it, if one did."""

    files: Annotated[dict[FileName, InputRef], Field(min_length=1, max_length=1000)]
    metadata: Annotated[dict[str, Any], Field(default_factory=dict)]
    run: RunId | None = None


class UploadQuery(QueryModel):
    """Name and labels of a raw upload."""

    name: Annotated[str, Field(max_length=255)] = ""
    label: Annotated[list[LabelFilter], Field(default_factory=list, max_length=16, description="key:value")]


class VersionQuery(QueryModel):
    """Name of a raw upload that becomes a version."""

    name: Annotated[str, Field(max_length=255)] = ""


class ItemListQuery(Dated):
    """A page of items."""

    q: Annotated[str, Field(max_length=200, description="Part of the name.")] = ""
    limit: Annotated[int, Field(ge=1, le=1000)] = 100
    cursor: Annotated[str, Field(max_length=500)] = ""


class SqlIn(Body):
    """One SELECT over the workspace's tables; ``?`` in it are filled from ``params``."""

    sql: Annotated[str, Field(min_length=1, max_length=100_000)]
    params: Annotated[list[Any], Field(default_factory=list, max_length=1000)]
    max_rows: Annotated[int, Field(ge=1, le=100_000)] = 10_000
    timeout_s: Annotated[float, Field(gt=0, le=60)] = 10.0
    at_least: Annotated[int, Field(ge=0, le=SEQUENCE_MAX)] = 0
    as_of: AsOf = ""


class CompareQuery(Dated):
    """One metric over many runs."""

    metric: Annotated[str, Field(min_length=1, max_length=200)]
    run: Annotated[list[str], Field(min_length=1, max_length=400, description="Run ids; may be repeated.")]
    max_points: Annotated[int, Field(ge=1, le=1000)] = 200

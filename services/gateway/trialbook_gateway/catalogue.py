"""What the native API consists of: its routers, and the structs and models that its document describes."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from trialbook.domain.versioned import Version
from trialbook.history import Changes, Difference
from trialbook.llm import Validation
from trialbook.presence import RunnerInfo
from trialbook.proofs import ConsistencyProof, InclusionProof
from trialbook.queries import ItemView, LogPage, Page, SegmentList, SqlResult
from trialbook.views import ErasureView, RunView, WorkloadView
from trialbook_gateway.api import (
    analysis,
    asyncapi,
    audit,
    catalog,
    comparison,
    diff,
    erasures,
    events,
    files,
    health,
    live,
    llm,
    packages,
    replays,
    run_artifacts,
    run_commands,
    run_parts,
    runs,
    segments,
    trail,
    workspaces,
)
from trialbook_gateway.api.versioned import versioned_router
from trialbook_gateway.comparing import Comparison
from trialbook_gateway.schemas.items import ItemCreate, SqlIn, VersionCreate, WorkspaceCreate, WorkspaceRename
from trialbook_gateway.schemas.runs import CancelIn, RunCreate
from trialbook_gateway.trail.story import Story

ROUTERS: tuple[APIRouter, ...] = (
    health.router, runs.router, run_commands.router, run_parts.router, run_artifacts.router, packages.router,
    live.router, files.router,
    versioned_router("dataset"), versioned_router("model"), workspaces.router, catalog.router, analysis.router,
    comparison.router,
    events.router, asyncapi.router, audit.router, segments.router, llm.router, replays.router, diff.router,
    trail.router, erasures.router,
)  # fmt: skip
VIEWS: list[type[Any]] = [
    Difference, Changes, Story, Comparison,
    RunView, Page, LogPage, ItemView, Version, SqlResult, RunnerInfo, run_artifacts.ArtifactPage,
    workspaces.WorkspaceView, workspaces.WorkspacePage, WorkloadView, catalog.WorkloadPage, catalog.RunnerPage,
    Validation, llm.LlmView, llm.LlmUsage, audit.LedgerView, audit.CheckpointPage, InclusionProof,
    ConsistencyProof, ErasureView, asyncapi.EventSchemaPage, SegmentList,
]  # fmt: skip
BODIES: list[type[BaseModel]] = [
    RunCreate, CancelIn, ItemCreate, VersionCreate, WorkspaceCreate, WorkspaceRename, SqlIn, llm.KeyIn,
    erasures.ErasureCreate,
]  # fmt: skip

"""/v1/workloads and /v1/runners: what can be run, and who runs it."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from trialbook.errors import NotFound
from trialbook.presence import RunnerInfo, WorkloadInfo
from trialbook.views import WorkloadView
from trialbook_gateway import replies
from trialbook_gateway.api.strict import StrictRoute
from trialbook_gateway.directory import Runner
from trialbook_gateway.openapi import content, operation
from trialbook_gateway.schemas.base import NoQuery
from trialbook_gateway.services import services_of

router = APIRouter(prefix="/v1", tags=["workloads"], route_class=StrictRoute)
NoParameters = Annotated[NoQuery, Query()]
Name = Annotated[str, Path(max_length=63)]


class WorkloadPage(msgspec.Struct, frozen=True, kw_only=True):
    """All workloads by name."""

    items: list[WorkloadView]


class RunnerPage(msgspec.Struct, frozen=True, kw_only=True):
    """All runners by name; ``state`` is ready, draining, stopped or missing."""

    items: list[RunnerInfo]


def _workload(info: WorkloadInfo, available: frozenset[str]) -> WorkloadView:
    return WorkloadView(**msgspec.structs.asdict(info), available=info.name in available)


def _runner(runner: Runner) -> RunnerInfo:
    return msgspec.structs.replace(runner.info, state=runner.state)


@router.get("/workloads", summary="List workloads", **operation(ok={200: content(WorkloadPage)}))
async def workloads(request: Request, _: NoParameters) -> Response:
    """Everything any runner ever announced."""
    directory = services_of(request).directory
    available = directory.available()
    return replies.json(WorkloadPage(items=[_workload(info, available) for info in directory.workloads()]))


@router.get("/workloads/{name}", summary="Read a workload", **operation(ok={200: content(WorkloadView)}))
async def workload(request: Request, name: Name, _: NoParameters) -> Response:
    """With the JSON Schema of its parameters."""
    directory = services_of(request).directory
    return replies.json(_workload(directory.workload(name), directory.available()))


@router.get("/runners", summary="List runners", **operation(ok={200: content(RunnerPage)}))
async def runners(request: Request, _: NoParameters) -> Response:
    """With slots, labels, running runs and workloads that could not be loaded."""
    directory = services_of(request).directory
    return replies.json(RunnerPage(items=[_runner(runner) for runner in directory.runners()]))


@router.get("/runners/{runner}", summary="Read a runner", **operation(ok={200: content(RunnerInfo)}))
async def runner(request: Request, runner: Name, _: NoParameters) -> Response:
    """By id or by name."""
    for found in services_of(request).directory.runners():
        if runner in (found.info.id, found.info.name):
            return replies.json(_runner(found))
    raise NotFound("runner_not_found", "There is no such runner; GET /v1/runners lists them.")

"""/v1/runs/{run}/...: start, cancel, pause, resume, retry, reset, delete."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from trialbook.views import RunView
from trialbook_gateway import acting, replies
from trialbook_gateway.acting import Done
from trialbook_gateway.api.strict import StrictRoute
from trialbook_gateway.openapi import IDEMPOTENCY_PARAMETER, IF_MATCH_PARAMETER, content, operation
from trialbook_gateway.schemas.base import Id, QueryModel
from trialbook_gateway.schemas.runs import CancelIn
from trialbook_gateway.services import caller_of
from trialbook_gateway.strictjson import read_model

router = APIRouter(prefix="/v1/runs/{run}", tags=["runs"], route_class=StrictRoute)
PARAMETERS = (IDEMPOTENCY_PARAMETER, IF_MATCH_PARAMETER)
DONE = operation(ok={200: content(RunView)}, errors=(409, 412), parameters=PARAMETERS)
REQUESTED = operation(ok={200: content(RunView), 202: content(RunView)}, errors=(409, 412), parameters=PARAMETERS)
NoParameters = Annotated[QueryModel, Query()]


async def _act(request: Request, run: str, verb: str) -> Done:
    services, caller = await caller_of(request)
    return await acting.act(services, caller, request, verb, run)


def _reply(done: Done, status: int = 200) -> Response:
    headers = {"ETag": replies.etag(done.sequence), replies.SEQUENCE: str(done.sequence)}
    return replies.json(done.run, status, headers)


@router.post("/start", summary="Queue a created run", **DONE)
async def start(request: Request, run: Id, _: NoParameters) -> Response:
    """409 unless the run is only created."""
    return _reply(await _act(request, run, "start"))


@router.post(
    "/cancel",
    summary="Cancel a run",
    **operation(
        ok={200: content(RunView), 202: content(RunView)}, errors=(409, 412), parameters=PARAMETERS, body=CancelIn,
        body_required=False,
    ),
)  # fmt: skip
async def cancel(request: Request, run: Id, _: NoParameters) -> Response:
    """200 when it is cancelled already, 202 when its runner has yet to end it; 409 when it has finished."""
    services, caller = await caller_of(request)
    body = await read_model(request, CancelIn, optional=True)
    done = await acting.act(services, caller, request, "cancel", run, body.reason)
    return _reply(done, 200 if done.terminal else 202)


@router.post("/pause", summary="Pause a run", **REQUESTED)
async def pause(request: Request, run: Id, _: NoParameters) -> Response:
    """200 when it stands still, 202 when it will at its next checkpoint."""
    done = await _act(request, run, "pause")
    return _reply(done, 200 if done.run.status == "paused" else 202)


@router.post("/resume", summary="Resume a paused run, or withdraw a pause", **DONE)
async def resume(request: Request, run: Id, _: NoParameters) -> Response:
    """409 unless the run is paused or is to pause."""
    return _reply(await _act(request, run, "resume"))


@router.post("/retry", summary="Queue a failed or cancelled run again", **DONE)
async def retry(request: Request, run: Id, _: NoParameters) -> Response:
    """Completed steps and recorded effects are kept; 409 unless the run failed or was cancelled."""
    return _reply(await _act(request, run, "retry"))


@router.post("/reset", summary="Make a run what it was when it was created", **DONE)
async def reset(request: Request, run: Id, _: NoParameters) -> Response:
    """Result, error, steps, progress, artifacts and checkpoints are cleared; the ledger keeps what happened. 409 while
    it is queued or running. Start it to run it again.
    """
    return _reply(await _act(request, run, "reset"))


@router.delete("", summary="Delete a run", **operation(ok={204: None}, errors=(409, 412), parameters=PARAMETERS))
async def delete(request: Request, run: Id, _: NoParameters) -> Response:
    """Its name becomes free, its facts stay in the ledger; 409 while it is queued or running."""
    services, caller = await caller_of(request)
    sequence = await acting.delete(services, caller, request, run)
    return Response(None, 204, {replies.SEQUENCE: str(sequence)})

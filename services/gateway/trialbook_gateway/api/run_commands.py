"""/v1/runs/{run}/...: start, cancel, pause, resume, retry, reset, delete."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from trialbook.domain.run import commands
from trialbook.handle import Outcome
from trialbook.ids import parse_id
from trialbook.views import RunView, run_view
from trialbook_gateway import replies
from trialbook_gateway.api.strict import StrictRoute
from trialbook_gateway.commanding import command_run, delete_run
from trialbook_gateway.idempotency import command_id
from trialbook_gateway.openapi import IDEMPOTENCY_PARAMETER, IF_MATCH_PARAMETER, content, operation
from trialbook_gateway.schemas.base import Id, QueryModel
from trialbook_gateway.schemas.runs import CancelIn
from trialbook_gateway.services import Caller, Services, caller_of
from trialbook_gateway.strictjson import read_model

router = APIRouter(prefix="/v1/runs/{run}", tags=["runs"], route_class=StrictRoute)
PARAMETERS = (IDEMPOTENCY_PARAMETER, IF_MATCH_PARAMETER)
DONE = operation(ok={200: content(RunView)}, errors=(409, 412), parameters=PARAMETERS)
REQUESTED = operation(ok={200: content(RunView), 202: content(RunView)}, errors=(409, 412), parameters=PARAMETERS)
NoParameters = Annotated[QueryModel, Query()]


def _reply(caller: Caller, id_: str, outcome: Outcome[Any], status: int = 200) -> Response:
    view = run_view(caller.workspace, id_, outcome.state, outcome.sequence)
    headers = {"ETag": replies.etag(outcome.sequence), replies.SEQUENCE: str(outcome.sequence)}
    return replies.json(view, status, headers)


async def _begin(request: Request, run: str, verb: str) -> tuple[Services, Caller, str, str]:
    services, caller = await caller_of(request)
    id_ = parse_id(run, "run id")
    return services, caller, id_, command_id(request, caller.workspace, caller.principal.actor, f"runs.{verb}", id_)


@router.post("/start", summary="Queue a created run", **DONE)
async def start(request: Request, run: Id, _: NoParameters) -> Response:
    """409 unless the run is only created."""
    services, caller, id_, key = await _begin(request, run, "start")
    command = commands.Start(ticket=services.ids.new(), command_id=key)
    return _reply(caller, id_, await command_run(services, caller, id_, command, replies.expected_sequence(request)))


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
    services, caller, id_, key = await _begin(request, run, "cancel")
    body = await read_model(request, CancelIn, optional=True)
    command = commands.RequestCancel(reason=body.reason, command_id=key)
    outcome = await command_run(services, caller, id_, command, replies.expected_sequence(request))
    return _reply(caller, id_, outcome, 200 if outcome.state.terminal else 202)


@router.post("/pause", summary="Pause a run", **REQUESTED)
async def pause(request: Request, run: Id, _: NoParameters) -> Response:
    """200 when it stands still, 202 when it will at its next checkpoint."""
    services, caller, id_, key = await _begin(request, run, "pause")
    command = commands.RequestPause(command_id=key)
    outcome = await command_run(services, caller, id_, command, replies.expected_sequence(request))
    return _reply(caller, id_, outcome, 200 if outcome.state.status == "paused" else 202)


@router.post("/resume", summary="Resume a paused run, or withdraw a pause", **DONE)
async def resume(request: Request, run: Id, _: NoParameters) -> Response:
    """409 unless the run is paused or is to pause."""
    services, caller, id_, key = await _begin(request, run, "resume")
    command = commands.RequestResume(ticket=services.ids.new(), command_id=key)
    return _reply(caller, id_, await command_run(services, caller, id_, command, replies.expected_sequence(request)))


@router.post("/retry", summary="Queue a failed or cancelled run again", **DONE)
async def retry(request: Request, run: Id, _: NoParameters) -> Response:
    """Completed steps and recorded effects are kept; 409 unless the run failed or was cancelled."""
    services, caller, id_, key = await _begin(request, run, "retry")
    command = commands.Retry(ticket=services.ids.new(), command_id=key)
    return _reply(caller, id_, await command_run(services, caller, id_, command, replies.expected_sequence(request)))


@router.post("/reset", summary="Make a run what it was when it was created", **DONE)
async def reset(request: Request, run: Id, _: NoParameters) -> Response:
    """Result, error, steps, progress, artifacts and checkpoints are cleared; the ledger keeps what happened. 409 while
    it is queued or running. Start it to run it again.
    """
    services, caller, id_, key = await _begin(request, run, "reset")
    command = commands.Reset(command_id=key)
    return _reply(caller, id_, await command_run(services, caller, id_, command, replies.expected_sequence(request)))


@router.delete("", summary="Delete a run", **operation(ok={204: None}, errors=(409, 412), parameters=PARAMETERS))
async def delete(request: Request, run: Id, _: NoParameters) -> Response:
    """Its name becomes free, its facts stay in the ledger; 409 while it is queued or running."""
    services, caller, id_, key = await _begin(request, run, "delete")
    outcome = await delete_run(services, caller, id_, key, replies.expected_sequence(request))
    return Response(None, 204, {replies.SEQUENCE: str(outcome.sequence)})

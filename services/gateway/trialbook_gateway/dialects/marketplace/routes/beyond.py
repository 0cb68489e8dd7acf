"""Routes that the original does not have: cancelling, analysis, threads, runs behind a name, export."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from trialbook.domain.run import commands
from trialbook.errors import Conflict, Invalid
from trialbook_gateway.dialects.marketplace import experiments, exports, parquet, schemas
from trialbook_gateway.dialects.marketplace.errors import bad_request
from trialbook_gateway.dialects.marketplace.experiments import LABEL, Experiment
from trialbook_gateway.dialects.marketplace.listing import runs_labelled
from trialbook_gateway.dialects.marketplace.parts import Where
from trialbook_gateway.dialects.marketplace.routes.described import described
from trialbook_gateway.idempotency import command_id
from trialbook_marketplace.analytics import analyse, history_after, threads
from trialbook_marketplace.rows import History

router = APIRouter(tags=["beyond the original"])
Distance = Annotated[int, Query(ge=0, le=20, description="Levenshtein distance up to which item names match.")]


@router.post(
    "/api/experiments/{name}/cancel", response_model=schemas.ExperimentStatus, responses=described(400, 404, 409)
)
async def cancel_experiment(where: Where, request: Request, name: str) -> dict[str, Any]:
    """Cancel; its final status is ``failed`` with the error ``Cancelled``. 409 when it has finished otherwise."""
    services, caller = where.services, where.caller
    found = await experiments.require(services, caller, name)
    known = command_id(request, caller.workspace, caller.principal.actor, "marketplace.cancel", found.id)
    command = commands.RequestCancel(reason="cancelled through the marketplace API", command_id=known)
    aggregate = caller.aggregate("run", found.id)
    try:
        outcome = await services.handler.handle(aggregate, command, caller.meta)
    except Conflict as conflict:
        if conflict.code != "run_finished":
            raise
        status = experiments.status_of(found) if found.finished else "finished"
        raise Conflict("run_finished", f"Experiment '{name}' is {status} and cannot be cancelled") from None
    services.wrote(aggregate, outcome.sequence)
    after = await experiments.read(services, caller.workspace, found.id, outcome.sequence)
    return experiments.state_of(after or found)


@router.get("/api/experiments/{name}/analytics", response_model=dict[str, Any], responses=described(400, 404, 422))
async def experiment_analytics(where: Where, name: str, fuzzy_match_distance: Distance = 0) -> Response:
    """Utilities, transactions and the comparison with the baselines, also while the run is going on."""
    found = await experiments.require(where.services, where.caller, name)
    result = await where.parts.histories.compute(
        where.caller, found, lambda h: msgspec.json.encode(analyse(h.agents, h.actions, h.logs, fuzzy_match_distance))
    )
    return Response(result, media_type="application/json")


@router.get("/api/experiments/{name}/threads", response_model=dict[str, Any], responses=described(400, 404, 422))
async def experiment_threads(
    where: Where,
    name: str,
    fuzzy_match_distance: Distance = 0,
    after_action: Annotated[int | None, Query(description="As it all was after this many actions; 0: none.")] = None,
) -> Response:
    """Customers, businesses, messages and conversations, newest first, with the analytics; now, or at any position."""
    found = await experiments.require(where.services, where.caller, name)

    def work(history: History) -> bytes:
        then = history if after_action is None else history_after(history, after_action)
        view = threads(then.agents, then.actions, then.logs, fuzzy_match_distance)
        return msgspec.json.encode(
            view if after_action is None else {**view, "after_action": after_action, "actions": len(history.actions)}
        )

    try:
        result = await where.parts.histories.compute(where.caller, found, work)
    except Invalid as refusal:
        raise bad_request(refusal) from None
    return Response(result, media_type="application/json")


@router.get("/api/experiments/{name}/runs", response_model=list[schemas.Run], responses=described(400, 404))
async def experiment_runs(where: Where, name: str) -> list[dict[str, Any]]:
    """Every run that bore the name, newest first; ``current`` bears it now."""
    experiments.check_name(name)
    owner, _ = await experiments.owner_of(where.services, where.caller.workspace, name)
    runs, _ = await runs_labelled(where.services, where.caller, name)
    if not runs:
        raise experiments.missing(name)
    return [_run(run, owner) for run in runs if run.labels.get(LABEL) == name]


@router.get(
    "/api/experiments/{name}/export",
    response_class=Response,
    responses={
        200: {"content": {exports.MEDIA_TYPE: {}, exports.GZIP: {}, parquet.MEDIA_TYPE: {}}},
        **described(400, 404, 422),
    },
)
async def experiment_export(
    where: Where,
    name: str,
    file_format: Annotated[Literal["sqlite", "jsonl", "parquet"], Query(alias="format")] = "sqlite",
) -> Response:
    """The history: tables agents, actions and logs in an SQLite file or as Parquet in a ZIP, or as JSON Lines."""
    found = await experiments.require(where.services, where.caller, name)
    if file_format == "jsonl":
        return await exports.history_lines(where.services, where.parts.histories, where.caller, found)
    if file_format == "parquet":
        return await parquet.parquet_archive(where.services, where.caller, found)
    return await exports.download(where.services, where.parts.histories, where.caller, found)


@router.post(
    "/api/experiments/{name}/rerun", response_model=schemas.ExperimentStatus, responses=described(400, 404, 409, 422)
)
async def rerun_experiment(
    where: Where,
    request: Request,
    name: str,
    experiment_name: Annotated[str | None, Query(description="Of the new experiment; made up when absent.")] = None,
    seed: Annotated[int | None, Query(ge=-schemas.INT64, le=schemas.INT64)] = None,
) -> dict[str, Any]:
    """Run it again on the same dataset snapshot with the same parameters, and with the same seed unless given one."""
    found = await experiments.require(where.services, where.caller, name)
    again = await where.parts.launcher.rerun(where.caller, request, found.id, experiment_name, seed)
    return {"name": again, "status": "pending", "started_at": None, "completed_at": None, "error": None}


def _run(run: Experiment, owner: str) -> dict[str, Any]:
    state = experiments.state_of(run)
    return {
        "id": run.id,
        "current": run.id == owner,
        "status": state["status"],
        "created_at": run.created_at,
        "started_at": state["started_at"],
        "completed_at": state["completed_at"],
        "error": state["error"],
        "seed": run.seed,
        "parameters": run.params,
    }

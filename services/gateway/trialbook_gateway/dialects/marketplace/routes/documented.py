"""The routes of the original, with their documented parameters, statuses and bodies."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from trialbook_gateway import health, strictjson
from trialbook_gateway.dialects.marketplace import experiments, logs, schemas
from trialbook_gateway.dialects.marketplace.listing import summaries
from trialbook_gateway.dialects.marketplace.parts import Where
from trialbook_gateway.dialects.marketplace.routes.described import described
from trialbook_gateway.services import services_of
from trialbook_marketplace.config import (
    AVAILABLE_PROVIDERS,
    DEFAULT_SEARCH_ALGORITHM,
    DEFAULT_SEARCH_BANDWIDTH,
)
from trialbook_marketplace.rows import EXPERIMENT

NEXT_CURSOR = "X-Next-Cursor"
NOT_TRACKED = "Experiment '{}' not found in tracker"
LogLevel = Literal["debug", "info", "warning", "error"]
OF_AGENT = f"Only entries of this agent; {EXPERIMENT}: those of the experiment itself."
router = APIRouter()


async def strict_body(request: Request) -> None:
    """Refuse what JSON allows but nobody can store: NUL, lone surrogates, huge numbers, keys given twice."""
    if body := await request.body():
        strictjson.parse(body)


def postgres(
    host: Annotated[str, Query(description="Accepted and unused.")] = "localhost",
    port: Annotated[int, Query(description="Accepted and unused.")] = 5432,
    database: Annotated[str, Query(description="Accepted and unused.")] = "marketplace",
    user: Annotated[str, Query(description="Accepted and unused.")] = "postgres",
    password: Annotated[str, Query(description="Accepted and unused.")] = "postgres",  # noqa: S107 - the documented default of a parameter that nothing reads
) -> None:
    """Where the original kept its history; here it is in the ledger."""
    del host, port, database, user, password


@router.get("/api/datasets", response_model=list[schemas.Dataset], responses=described(404))
async def list_datasets(where: Where) -> Response:
    """All datasets by name."""
    return _json(await where.parts.stored.listing(where.caller))


@router.get("/api/settings", response_model=schemas.SystemSettings, responses=described())
async def read_settings(where: Where) -> dict[str, Any]:
    """Defaults and options."""
    del where
    return {
        "default_search_algorithm": DEFAULT_SEARCH_ALGORITHM,
        "default_search_bandwidth": DEFAULT_SEARCH_BANDWIDTH,
        "default_postgres_host": "localhost",
        "default_postgres_port": 5432,
        "available_providers": list(AVAILABLE_PROVIDERS),
    }


@router.post(
    "/api/experiments",
    response_model=schemas.ExperimentStatus,
    responses=described(400, 409, 413, 422),
    dependencies=[Depends(strict_body)],
)
async def create_experiment(where: Where, request: Request, body: schemas.ExperimentRequest) -> dict[str, Any]:
    """Launch an experiment; it runs in the background. An ``Idempotency-Key`` makes repeating harmless."""
    name = await where.parts.launcher.launch(where.caller, request, body)
    return {"name": name, "status": "pending", "started_at": None, "completed_at": None, "error": None}


@router.get(
    "/api/experiments",
    response_model=list[schemas.ExperimentSummary],
    responses=described(422),
    dependencies=[Depends(postgres)],
)
async def list_experiments(where: Where, limit: Annotated[int | None, Query()] = None) -> Response:
    """All experiments, newest first; those without activity last."""
    return _json(await summaries(where.services, where.caller, limit))


@router.get(
    "/api/experiments/{name}/status", response_model=schemas.ExperimentStatus, responses=described(400, 404, 422)
)
async def experiment_status(where: Where, name: str) -> dict[str, Any]:
    """How an experiment stands."""
    found = await experiments.require(where.services, where.caller, name, NOT_TRACKED)
    return experiments.state_of(found)


@router.get(
    "/api/experiments/{name}/logs",
    response_model=schemas.LogsPage,
    responses=described(400, 404, 422),
    dependencies=[Depends(postgres)],
)
async def experiment_logs(
    where: Where,
    name: str,
    since: Annotated[str | None, Query(description="Only entries strictly newer than this ISO 8601 time.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: Annotated[str | None, Query(description="Continue strictly after this X-Next-Cursor.")] = None,
    level: Annotated[LogLevel | None, Query(description="Only entries of this level or above.")] = None,
    agent_id: Annotated[str, Query(max_length=200, description=OF_AGENT)] = "",
    q: Annotated[str, Query(max_length=200, description="Only entries with this text in the message.")] = "",
) -> Response:
    """The newest entries, or those after a time or a cursor, ascending. ``X-Next-Cursor`` says where to go on.

    Filters choose among the entries; ``total`` still counts all, and a cursor means the same place under any filter.
    """
    found = await experiments.require(where.services, where.caller, name)
    only = logs.Filter(level=level or "", agent_id=agent_id, q=q)
    page, position = await logs.read_page(where.services, where.caller, found, since, cursor, limit, only)
    return Response(msgspec.json.encode(page), media_type="application/json", headers={NEXT_CURSOR: position})


@router.get("/health", response_model=schemas.Health, responses={503: {"model": schemas.Health}})
async def service_health(request: Request) -> Response:
    """The state of the service; 503 when NATS or the projector is gone."""
    found = await health.report(services_of(request))
    return _json({"status": found.status}, found.http_status)


def _json(value: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")

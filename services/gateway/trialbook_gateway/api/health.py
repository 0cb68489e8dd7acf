"""/health/live, /health/ready, /metrics and the index; the root's /health is among the dialects."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from trialbook_gateway import health, replies
from trialbook_gateway.openapi import operation
from trialbook_gateway.services import services_of
from trialbook_gateway.telemetry import MEDIA_TYPE

router = APIRouter(tags=["service"])
_JSON = {"application/json": {"schema": {"type": "object"}}}
_TEXT = {"text/plain": {"schema": {"type": "string"}}}
LINKS = {
    "runs": "/v1/runs", "workloads": "/v1/workloads", "runners": "/v1/runners", "files": "/v1/files",
    "datasets": "/v1/datasets", "models": "/v1/models", "workspaces": "/v1/workspaces", "events": "/v1/events",
    "sql": "/v1/sql", "compare": "/v1/metrics/compare", "documentation": "/docs", "openapi": "/openapi.json",
    "health": "/health", "metrics": "/metrics",
}  # fmt: skip


@router.get("/health/live", summary="Is the process there", **operation(ok={200: _JSON}))
async def live() -> Response:
    """200 as long as the process serves requests."""
    return replies.json({"status": "alive"})


@router.get("/health/ready", summary="Can it serve", **operation(ok={200: _JSON, 503: _JSON}))
async def ready(request: Request) -> Response:
    """200 when NATS and a projector answer, 503 otherwise; the body names every part."""
    found = await health.report(services_of(request))
    return replies.json(found, found.http_status, found.headers)


@router.get("/metrics", summary="Prometheus metrics", **operation(ok={200: _TEXT}))
async def metrics(request: Request) -> Response:
    """All series of this gateway in Prometheus' text format."""
    services = services_of(request)
    await health.report(services)
    return replies.raw(services.telemetry.exposition(), media_type=MEDIA_TYPE)


@router.get("/v1", summary="What there is", **operation(ok={200: _JSON}))
async def index() -> Response:
    """Links to every collection."""
    return replies.json({"name": "trialbook", "version": health.VERSION, "links": LINKS})

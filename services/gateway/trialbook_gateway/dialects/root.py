"""What the root serves itself: the index and the union health."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from trialbook_gateway import health, replies
from trialbook_gateway.dialects.dialect import Dialect
from trialbook_gateway.openapi import operation
from trialbook_gateway.services import services_of

_OWN = ("/", "/health", "/api/v1/health")
_DOCUMENTS = ("/docs", "/docs/oauth2-redirect", "/redoc", "/openapi.json")
_JSON = {"application/json": {"schema": {"type": "object"}}}


def give_root_away(app: FastAPI, sole: ASGIApp) -> None:
    """Leave what the root would serve itself to the only system that is served there."""
    app.router.routes[:0] = [Route(path, endpoint=sole) for path in (*_OWN, *_DOCUMENTS)]


def add_root_routes(app: FastAPI, dialects: Sequence[Dialect], at_root: Sequence[Dialect]) -> None:
    """``/``, ``/health`` and ``/api/v1/health``; none of them needs a token."""

    async def index() -> Response:
        """Name, version, prefixes and the documented root paths."""
        return replies.json(_index(dialects, at_root))

    async def union_health(request: Request) -> Response:
        """The state of every part, with the members of every dialect's own health body."""
        services = services_of(request)
        found = await health.report(services)
        body = health.union_body(services, found)
        for dialect in dialects:
            if dialect.health is not None:
                body.update(await dialect.health())
        return replies.json(body, found.http_status, found.headers)

    count = len(app.router.routes)
    described = operation(ok={200: _JSON, 503: _JSON})
    app.add_api_route("/", index, methods=["GET"], tags=["service"], summary="Index", **operation(ok={200: _JSON}))
    for path in _OWN[1:]:
        app.add_api_route(path, union_health, methods=["GET"], tags=["service"], summary="Union health", **described)
    # In front of the native routes, so that the document begins with them.
    app.router.routes[:] = [*app.router.routes[count:], *app.router.routes[:count]]


def _index(dialects: Sequence[Dialect], at_root: Sequence[Dialect]) -> dict[str, Any]:
    endpoints = {d.system: sorted({c.path for c in d.claims if c.rank[0]}) for d in at_root}
    return {
        "name": "trialbook",
        "version": health.VERSION,
        "message": "Trialbook runs experiments and keeps their book of original entry.",
        "prefixes": {dialect.system: dialect.prefix for dialect in dialects},
        "docs": "/docs",
        "health": "/health",
        "endpoints": {"native": ["/v1"], **endpoints},
    }

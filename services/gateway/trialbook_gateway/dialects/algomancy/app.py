"""The algomancy API as a self-contained application, mounted under ``/algomancy`` and at the root."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from starlette._utils import get_route_path
from starlette.types import ASGIApp, Receive, Scope, Send

from trialbook_gateway import health
from trialbook_gateway.auth import Guard
from trialbook_gateway.dialects.algomancy import errors
from trialbook_gateway.dialects.algomancy.beginning import Beginning
from trialbook_gateway.dialects.algomancy.beyond.routers import ROUTERS as BEYOND
from trialbook_gateway.dialects.algomancy.datasets import Datasets
from trialbook_gateway.dialects.algomancy.ids import shown
from trialbook_gateway.dialects.algomancy.listing import Results
from trialbook_gateway.dialects.algomancy.loads import Loads
from trialbook_gateway.dialects.algomancy.mirror import Mirror
from trialbook_gateway.dialects.algomancy.parts import Parts
from trialbook_gateway.dialects.algomancy.routes import beyond, data, scenarios, sessions
from trialbook_gateway.dialects.algomancy.scenarios import Scenarios
from trialbook_gateway.dialects.algomancy.segments import Segments
from trialbook_gateway.dialects.algomancy.sessions import Sessions
from trialbook_gateway.dialects.algomancy.settings import algomancy_settings, served
from trialbook_gateway.dialects.claims import Claim
from trialbook_gateway.dialects.dialect import Dialect
from trialbook_gateway.dialects.shapes import plain
from trialbook_gateway.limits import BodyLimit
from trialbook_gateway.services import Services

SYSTEM = "algomancy"
ROUTERS = (*BEYOND, beyond.router, sessions.router, scenarios.router, data.router)
UPLOADS = ("/etl", "/data/from-json", "/sessions/import")
GROUP = Claim(path=sessions.SESSIONS + "/...", own=True)


class _Protected:
    """Asks for a token under ``/api/``; health and documents need none."""

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self._open, self._guarded = app, Guard(app, services.authenticator, render=plain)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        path = get_route_path(scope) if scope["type"] in ("http", "websocket") else ""
        await (self._guarded if path.startswith("/api/") else self._open)(scope, receive, send)


def create_app(services: Services) -> tuple[FastAPI, Parts]:
    """The application without what stands around it. Raises ``ProfileError``."""
    settings = algomancy_settings()
    profile = served(settings)
    app = FastAPI(title=profile.title, version=health.VERSION, root_path_in_servers=True)
    mirror = Mirror(services)
    known, datasets, loads = Sessions(services, mirror), Datasets(services, mirror), Loads(services, settings)
    made = Scenarios(services, profile, datasets)
    parts = Parts(
        settings=settings, profile=profile, sessions=known, datasets=datasets, scenarios=made, loads=loads,
        results=Results(services), beginning=Beginning(profile, mirror, known, datasets, made, loads),
    )  # fmt: skip
    app.state.services, app.state.parts = services, parts
    errors.install(app)
    for router in ROUTERS:
        app.include_router(router)
    return app, parts


def dialect(services: Services) -> Dialect:
    """The dialect, ready to be mounted."""
    app, parts = create_app(services)

    def max_bytes(scope: Scope) -> int:
        uploads = scope["path"].endswith(UPLOADS)
        return parts.settings.max_upload_bytes if uploads else parts.settings.max_body_bytes

    async def members() -> dict[str, Any]:
        names = await parts.sessions.names()
        return {"sessions": [{"id": shown(id_), "display_name": name} for id_, name in names.items()]}

    limited = BodyLimit(Segments(app), max_bytes, plain)
    return Dialect(
        system=SYSTEM, title=parts.profile.title, app=_Protected(limited, services),
        claims=(*_documented(app), GROUP), openapi=app.openapi, refuse=plain, exposed_headers=(data.LOAD_HEADER,),
        health=members, begin=parts.beginning.begin, close=parts.beginning.close,
        origins=tuple(parts.profile.cors_origins),
    )  # fmt: skip


def _documented(app: FastAPI) -> list[Claim]:
    """One claim per documented path and method below the group."""
    return [
        Claim(path=path, methods=frozenset(method.upper() for method in item))
        for path, item in app.openapi()["paths"].items()
        if path.startswith(sessions.SESSIONS)
    ]

"""The marketplace API as a self-contained application, mounted under ``/marketplace`` and at the root."""

from __future__ import annotations

from fastapi import FastAPI
from starlette._utils import get_route_path
from starlette.types import ASGIApp, Receive, Scope, Send

from trialbook_gateway import health
from trialbook_gateway.auth import Guard
from trialbook_gateway.dialects.claims import Claim
from trialbook_gateway.dialects.dialect import Dialect
from trialbook_gateway.dialects.marketplace import errors
from trialbook_gateway.dialects.marketplace.datasets import Datasets
from trialbook_gateway.dialects.marketplace.history import Histories
from trialbook_gateway.dialects.marketplace.launch import Launcher
from trialbook_gateway.dialects.marketplace.parts import Parts
from trialbook_gateway.dialects.marketplace.routes import beyond, dashboard, datasets, documented, live, models, sweeps
from trialbook_gateway.dialects.marketplace.settings import marketplace_settings
from trialbook_gateway.dialects.marketplace.stored import StoredDatasets
from trialbook_gateway.dialects.shapes import plain
from trialbook_gateway.limits import BodyLimit
from trialbook_gateway.services import Services

SYSTEM = "marketplace"
TITLE = "Marketplace experiments"
_GET, _POST = frozenset({"GET"}), frozenset({"POST"})
CLAIMS = (
    Claim(path="/api/datasets", methods=_GET),
    Claim(path="/api/settings", methods=_GET),
    Claim(path="/api/experiments", methods=_GET),
    Claim(path="/api/experiments", methods=_POST, body="dataset"),
    Claim(path="/api/experiments/{name}/status", methods=_GET),
    Claim(path="/api/experiments/{name}/logs", methods=_GET),
    Claim(path="/api/experiments/{name}/logs/ws", kind="websocket"),
    Claim(path="/api/datasets/..."),
    Claim(path="/api/settings/..."),
    Claim(path="/api/experiments/..."),
)


class _Protected:
    """Asks for a token under ``/api/``; health, documents and the page of the dashboard need none."""

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self._open, self._guarded = app, Guard(app, services.authenticator, render=plain)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        path = get_route_path(scope) if scope["type"] in ("http", "websocket") else ""
        guarded = path.startswith("/api/") and not (scope["type"] == "http" and dashboard.PATH.fullmatch(path))
        await (self._guarded if guarded else self._open)(scope, receive, send)


def create_app(services: Services) -> FastAPI:
    """The application without what stands around it."""
    app = FastAPI(
        title=TITLE, version=health.VERSION, redirect_slashes=False, root_path_in_servers=True,
        description="Launch marketplace experiments, follow them live, and compare them with the baselines.",
    )  # fmt: skip
    settings = marketplace_settings()
    known = Datasets(settings)
    stored = StoredDatasets(services, known)
    app.state.services = services
    app.state.parts = Parts(
        datasets=known, stored=stored, launcher=Launcher(services, stored),
        histories=Histories(services, settings.concurrent_reads),
    )  # fmt: skip
    errors.install(app)
    for router in (
        documented.router,
        live.router,
        datasets.router,
        beyond.router,
        models.router,
        sweeps.router,
        dashboard.router,
    ):
        app.include_router(router)
    return app


def dialect(services: Services) -> Dialect:
    """The dialect, ready to be mounted."""
    app = create_app(services)
    limited = BodyLimit(app, lambda _: services.settings.max_body_bytes, plain)
    return Dialect(
        system=SYSTEM, title=TITLE, app=_Protected(limited, services), claims=CLAIMS, openapi=app.openapi, refuse=plain,
        exposed_headers=(documented.NEXT_CURSOR,), form='a marketplace experiment with "dataset"',
    )  # fmt: skip

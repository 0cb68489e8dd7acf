"""The gateway's application: native routes, dialects, and the middleware around them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.types import Scope

from trialbook_gateway import health, openapi, problems
from trialbook_gateway.auth import Guard
from trialbook_gateway.catalogue import BODIES, ROUTERS, VIEWS
from trialbook_gateway.cors import GroupCors
from trialbook_gateway.data_subjects import HEADER as DATA_SUBJECT
from trialbook_gateway.dialects import mount_dialects
from trialbook_gateway.direct import desks
from trialbook_gateway.faults import Faults
from trialbook_gateway.heads import Heads
from trialbook_gateway.hot import HotPaths
from trialbook_gateway.idempotency import HEADER as IDEMPOTENCY_KEY
from trialbook_gateway.idempotency import REPLAYED
from trialbook_gateway.intact import Intact
from trialbook_gateway.limits import BodyLimit
from trialbook_gateway.replies import SEQUENCE
from trialbook_gateway.request_id import HEADER as REQUEST_ID
from trialbook_gateway.request_id import RequestId
from trialbook_gateway.services import WORKSPACE_HEADER, Services
from trialbook_gateway.settings import Settings
from trialbook_gateway.telemetry import Metrics

DESCRIPTION = "Runs experiments and keeps their book of original entry."
UPLOADS = ("/v1/files", "/v1/datasets", "/v1/models")


def create_app(settings: Settings, services: Services | None = None) -> FastAPI:
    """The application; it connects to NATS when its lifespan starts."""
    services = services or Services(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await services.start()
        try:
            async with desks(services):
                yield
        finally:
            await services.close()
            await services.telemetry.tracing.close()

    app = FastAPI(
        title="Trialbook", version=health.VERSION, description=DESCRIPTION, lifespan=lifespan,
        middleware=_middleware(settings, services), redirect_slashes=False,
    )  # fmt: skip
    app.state.services = services
    problems.install(app)
    for router in ROUTERS:
        app.include_router(router)
    openapi.install(app, VIEWS, BODIES)
    mount_dialects(app, services)
    return app


def _middleware(settings: Settings, services: Services) -> list[Middleware]:
    """Outermost first: the id and the metrics see everything, the guard and the limits only the native API."""

    def max_bytes(scope: Scope) -> int:
        path = scope["path"]
        if not path.startswith("/v1"):
            return settings.max_upload_bytes  # dialects set their own, smaller limits
        return settings.max_upload_bytes if path.startswith(UPLOADS) else settings.max_body_bytes

    stack = [Middleware(RequestId, ids=services.ids), Middleware(Metrics, telemetry=services.telemetry)]
    accepted = [
        "Authorization",
        "Content-Type",
        "If-Match",
        IDEMPOTENCY_KEY,
        REQUEST_ID,
        WORKSPACE_HEADER,
        DATA_SUBJECT,
    ]
    exposed = ["ETag", "Link", "Location", REQUEST_ID, SEQUENCE, REPLAYED, "Content-Range"]
    stack.append(
        Middleware(GroupCors, origins=settings.cors_origins, allow_headers=accepted, expose_headers=exposed)
    )  # the dialects add their own origins
    stack.append(Middleware(Faults))
    stack.append(Middleware(Guard, authenticator=services.authenticator, prefix="/v1"))
    stack.append(Middleware(Intact, damage=services.damage))  # the dialects add the shapes of their refusals
    stack.append(Middleware(BodyLimit, max_bytes=max_bytes, idle_s=settings.body_idle_s))
    stack.append(Middleware(Heads))
    stack.append(Middleware(HotPaths))
    return stack

"""The dialects: other systems' APIs, each a FastAPI application of its own, mounted by ``mount_dialects``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI

from trialbook_gateway.cors import GroupCors
from trialbook_gateway.dialects import algomancy, marketplace
from trialbook_gateway.dialects.dialect import Dialect
from trialbook_gateway.dialects.masking import mask_server_logs
from trialbook_gateway.dialects.root import add_root_routes, give_root_away
from trialbook_gateway.dialects.routing import RootRouter
from trialbook_gateway.dialects.settings import DialectSettings, dialect_settings
from trialbook_gateway.dialects.union import union
from trialbook_gateway.faults import Faults
from trialbook_gateway.intact import Intact
from trialbook_gateway.limits import BodyLimit
from trialbook_gateway.services import Services


def mount_dialects(app: FastAPI, services: Services) -> None:
    """Mount every dialect under its prefix and its documented root paths. Called last, after the native routes.

    Native routes are looked at first; whatever none of them matches goes to the ``RootRouter``.
    """
    mask_server_logs()
    dialects = [marketplace.dialect(services), algomancy.dialect(services)]
    settings = dialect_settings()
    mounted = [dialect.system for dialect in dialects]
    sole = settings.sole(mounted)
    at_root = [dialect for dialect in dialects if dialect.system in settings.root_systems]
    router = RootRouter(
        dialects, settings.root_systems, sole=sole, native=app.router.default, clock=services.clock,
        max_body_bytes=services.settings.max_body_bytes,
    )  # fmt: skip
    app.router.default = router
    if sole:
        give_root_away(app, router)
    else:
        add_root_routes(app, dialects, at_root)
        app.openapi = union(app.openapi, at_root)  # type: ignore[method-assign]
    _adjust_middleware(app, router, dialects, settings)
    _begin_with(app, dialects)


def _begin_with(app: FastAPI, dialects: Sequence[Dialect]) -> None:
    """Let dialects begin when the app's own lifespan has, and close before it does."""
    lifespan = app.router.lifespan_context

    @asynccontextmanager
    async def begun(served: Any) -> AsyncIterator[Any]:
        async with lifespan(served) as state:
            for dialect in dialects:
                if dialect.begin is not None:
                    dialect.begin()
            try:
                yield state
            finally:
                for dialect in dialects:
                    if dialect.close is not None:
                        await dialect.close()

    app.router.lifespan_context = begun


def _adjust_middleware(
    app: FastAPI, router: RootRouter, dialects: Sequence[Dialect], settings: DialectSettings
) -> None:
    """What stands in front of the routes must know the dialects: shapes of early refusals, headers for scripts."""
    exposed = [header for dialect in dialects for header in dialect.exposed_headers]
    for middleware in app.user_middleware:
        kind: object = middleware.cls
        options: dict[str, Any] = middleware.kwargs
        if kind in (BodyLimit, Faults, Intact):
            options.setdefault("render", router.shape)
        elif kind is GroupCors:
            options["expose_headers"] = [*options.get("expose_headers", ()), *exposed]
            own = {dialect.system: dialect.origins for dialect in dialects if dialect.origins}
            options.update(groups={**own, **settings.cors_origins}, group_of=router.group, trusted=own)

"""Sessions and health."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from trialbook.errors import Forbidden
from trialbook_gateway import health
from trialbook_gateway.dialects.algomancy import schemas
from trialbook_gateway.dialects.algomancy.ids import shown
from trialbook_gateway.dialects.algomancy.parts import Parts, parts_of, room_of
from trialbook_gateway.dialects.algomancy.routes.common import PREFIX, described, reply, storable_body
from trialbook_gateway.dialects.algomancy.segments import NamedRoute
from trialbook_gateway.idempotency import Idempotency, identify
from trialbook_gateway.services import Caller, services_of

router = APIRouter(route_class=NamedRoute)
SESSIONS = f"{PREFIX}/sessions"
BODY = [Depends(storable_body)]


async def listed(parts: Parts, caller: Caller) -> dict[str, Any]:
    """The sessions that a caller may use."""
    names = await parts.sessions.visible(caller.principal)
    sessions = [{"id": shown(id_), "display_name": name} for id_, name in names.items()]
    return {"sessions": sessions, "default": sessions[0]["id"] if sessions else None}


@router.get("/health", response_model=schemas.Health, responses={503: {"model": schemas.Health}})
async def service_health(request: Request) -> Response:
    """The state of the service; 503 when NATS or the projector is gone."""
    parts, found = parts_of(request), await health.report(services_of(request))
    names = await parts.sessions.names() if found.status != "unhealthy" else {}
    sessions = [{"id": shown(id_), "display_name": name} for id_, name in names.items()]
    status = "unhealthy" if found.status == "unhealthy" else "ok"
    return reply({"status": status, "title": parts.profile.title, "sessions": sessions}, found.http_status)


@router.get(SESSIONS, response_model=schemas.SessionList, responses=described())
async def list_sessions(request: Request) -> Response:
    """All sessions in creation order; the first one is the default."""
    return reply(await listed(parts_of(request), services_of(request).anywhere(request)))


@router.post(
    SESSIONS, status_code=201, response_model=schemas.SessionList, responses=described(400, 409, 422), dependencies=BODY
)
async def create_session(request: Request, body: schemas.SessionCreate) -> Response:
    """Open a session of an unused name."""
    parts, caller, asked = administer(request, "create", body.model_dump(), create=True)
    await parts.sessions.create(body.display_name, caller.meta, asked)
    return reply(await listed(parts, caller), 201)


@router.post(
    SESSIONS + "/{session_id}/copy",
    status_code=201,
    response_model=schemas.SessionList,
    responses=described(400, 409, 422),
    dependencies=BODY,
)
async def copy_session(request: Request, session_id: str, body: schemas.SessionCopy) -> Response:
    """Open a session with the same datasets; scenarios are not copied."""
    room = await room_of(request, session_id)
    given = {"from": room.caller.workspace, "name": body.new_display_name}
    parts, caller, asked = administer(request, "copy", given, create=True)
    await parts.sessions.check_free(body.new_display_name, asked)
    services = services_of(request)
    inside = await services.for_data_subject(request, services.anywhere(request, asked.id))
    await parts.datasets.copy(room.caller.workspace, inside)
    await parts.sessions.create(body.new_display_name, caller.meta, asked)
    return reply(await listed(parts, caller), 201)


@router.patch(
    SESSIONS + "/{session_id}", response_model=schemas.Session, responses=described(400, 409, 422), dependencies=BODY
)
async def rename_session(request: Request, session_id: str, body: schemas.SessionRename) -> Response:
    """Give it another name; its id stays."""
    room = await room_of(request, session_id)
    room.caller.principal.may_administer()
    await room.parts.sessions.rename(room.caller.workspace, body.display_name, room.caller.meta)
    return reply({"id": shown(room.caller.workspace), "display_name": body.display_name})


@router.delete(SESSIONS + "/{session_id}", response_model=schemas.SessionList, responses=described())
async def delete_session(request: Request, session_id: str) -> Response:
    """Remove it with all it holds and end what it executes; in place of the last one there is a new ``main``."""
    room = await room_of(request, session_id)
    parts, caller, _ = administer(request, "delete", None, create=False)
    await parts.sessions.delete(room.caller.workspace, room.caller.meta)
    return reply(await listed(parts, caller))


def administer(request: Request, verb: str, body: Any, *, create: bool) -> tuple[Parts, Caller, Idempotency]:
    """Raises ``Forbidden`` when sessions are fixed, or for tokens that are limited to some of them."""
    services, parts = services_of(request), parts_of(request)
    if not parts.settings.allow_session_create:
        raise Forbidden("sessions_fixed", "Sessions of this deployment cannot be created, copied or deleted.")
    caller = services.anywhere(request)
    caller.principal.may_administer()
    if not create:
        return parts, caller, Idempotency(id="", command_id="", digest="")
    route = f"algomancy.sessions.{verb}"
    return parts, caller, identify(request, "_algomancy", caller.principal.actor, route, body, services.ids.new())

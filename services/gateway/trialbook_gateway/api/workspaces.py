"""/v1/workspaces: create, list, read, rename, delete."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from trialbook.domain import workspace as domain
from trialbook.domain.workspace import WorkspaceState
from trialbook.errors import Conflict, Forbidden
from trialbook.handle import fresh
from trialbook_gateway import replies
from trialbook_gateway.api.strict import StrictRoute
from trialbook_gateway.idempotency import REPLAYED, identify
from trialbook_gateway.openapi import IDEMPOTENCY_PARAMETER, content, operation
from trialbook_gateway.schemas.base import NoQuery
from trialbook_gateway.schemas.items import WorkspaceCreate, WorkspaceRename
from trialbook_gateway.services import services_of
from trialbook_gateway.strictjson import into, read_json, read_model
from trialbook_gateway.workspaces import aggregate

router = APIRouter(prefix="/v1/workspaces", tags=["workspaces"], route_class=StrictRoute)
Id = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
NoParameters = Annotated[NoQuery, Query()]


class WorkspaceView(msgspec.Struct, frozen=True, kw_only=True):
    """A workspace as its readers see it."""

    id: str
    title: str
    labels: dict[str, str]
    created_at: str


class WorkspacePage(msgspec.Struct, frozen=True, kw_only=True):
    """All workspaces that the caller may use, in creation order."""

    items: list[WorkspaceView]


def _view(id_: str, state: WorkspaceState) -> WorkspaceView:
    return WorkspaceView(id=id_, title=state.title, labels=state.labels, created_at=state.created_at)


@router.post(
    "",
    summary="Create a workspace",
    **operation(
        ok={201: content(WorkspaceView)}, errors=(409,), body=WorkspaceCreate, parameters=(IDEMPOTENCY_PARAMETER,)
    ),
)
async def create(request: Request, _: NoParameters) -> Response:
    """409 when the id is in use."""
    services = services_of(request)
    body = await read_json(request)
    order = into(WorkspaceCreate, body)
    caller = services.anywhere(request, order.id)
    caller.principal.may_administer()
    asked = identify(request, order.id, caller.principal.actor, "workspaces.create", body, order.id)
    command = domain.Create(
        title=order.title or order.id, labels=order.labels, command_id=asked.command_id, digest=asked.digest
    )
    outcome = await services.handler.handle(aggregate(order.id), command, caller.meta, fresh("workspace"))
    services.workspaces.applied(order.id, outcome)
    headers = {"Location": f"/v1/workspaces/{order.id}", replies.SEQUENCE: str(outcome.sequence)}
    if not outcome.facts:
        headers[REPLAYED] = "true"
    return replies.json(_view(order.id, outcome.state), 201, headers)


@router.get("", summary="List workspaces", **operation(ok={200: content(WorkspacePage)}))
async def index(request: Request, _: NoParameters) -> Response:
    """Those that the token opens."""
    services = services_of(request)
    principal = services.anywhere(request).principal
    items = []
    for id_, state in services.workspaces.live():
        try:
            principal.may_use(id_)
        except Forbidden:
            continue
        items.append(_view(id_, state))
    return replies.json(WorkspacePage(items=items))


@router.get("/{workspace_id}", summary="Read a workspace", **operation(ok={200: content(WorkspaceView)}))
async def read(request: Request, workspace_id: Id, _: NoParameters) -> Response:
    """404 when it does not exist or was deleted."""
    services = services_of(request)
    await services.caller_in(request, workspace_id)
    return replies.json(_view(workspace_id, services.workspaces.state(workspace_id)))


@router.patch(
    "/{workspace_id}",
    summary="Rename a workspace",
    **operation(ok={200: content(WorkspaceView)}, errors=(409,), body=WorkspaceRename),
)
async def rename(request: Request, workspace_id: Id, _: NoParameters) -> Response:
    """Its id stays."""
    services = services_of(request)
    body = await read_model(request, WorkspaceRename)
    caller = await services.caller_in(request, workspace_id)
    caller.principal.may_administer()
    outcome = await services.handler.handle(aggregate(workspace_id), domain.Rename(title=body.title), caller.meta)
    services.workspaces.applied(workspace_id, outcome)
    return replies.json(_view(workspace_id, outcome.state), headers={replies.SEQUENCE: str(outcome.sequence)})


@router.delete("/{workspace_id}", summary="Delete a workspace", **operation(ok={204: None}, errors=(409,)))
async def delete(request: Request, workspace_id: Id, _: NoParameters) -> Response:
    """It takes nothing new and is no longer listed; its facts stay. The default workspace cannot be deleted."""
    services = services_of(request)
    caller = await services.caller_in(request, workspace_id)
    caller.principal.may_administer()
    if workspace_id == services.settings.default_workspace:
        raise Conflict("default_workspace", "The default workspace cannot be deleted.")
    outcome = await services.handler.handle(aggregate(workspace_id), domain.Delete(), caller.meta)
    services.workspaces.applied(workspace_id, outcome)
    return Response(None, 204, {replies.SEQUENCE: str(outcome.sequence)})

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
from trialbook.queries import PAGE_LIMIT, ItemGet, ItemList
from trialbook_gateway import replies
from trialbook_gateway.api.strict import StrictRoute
from trialbook_gateway.idempotency import REPLAYED, identify
from trialbook_gateway.openapi import IDEMPOTENCY_PARAMETER, content, operation
from trialbook_gateway.schemas.base import AsOf, NoQuery
from trialbook_gateway.schemas.items import WorkspaceCreate, WorkspaceRename
from trialbook_gateway.services import Services, services_of
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


class WorkspaceQuery(NoQuery):
    """Looking back is all that there is to choose."""

    as_of: AsOf = ""


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
async def index(request: Request, query: Annotated[WorkspaceQuery, Query()]) -> Response:
    """Those that the token opens."""
    services = services_of(request)
    principal = services.anywhere(request).principal
    items = []
    known = await _all_at(services, query.as_of) if query.as_of else services.workspaces.live()
    for id_, state in known:
        try:
            principal.may_use(id_)
        except Forbidden:
            continue
        items.append(_view(id_, state))
    return replies.json(WorkspacePage(items=items))


class _Then(msgspec.Struct):
    """An ItemView of a workspace."""

    id: str
    data: WorkspaceState


class _ThenPage(msgspec.Struct):
    items: list[_Then]
    next_cursor: str | None = None


async def _all_at(services: Services, as_of: str) -> list[tuple[str, WorkspaceState]]:
    """Id and state of every workspace that there was at a moment."""
    found: list[tuple[str, WorkspaceState]] = []
    cursor: str | None = ""
    while cursor is not None:
        question = ItemList(kind="workspace", as_of=as_of, limit=PAGE_LIMIT, cursor=cursor)
        answer = await services.ask.ask("_", question, services.settings.ask_timeout_s)
        page = msgspec.json.decode(replies.result_of(answer), type=_ThenPage)
        found += [(item.id, item.data) for item in page.items]
        cursor = page.next_cursor
    return found


@router.get("/{workspace_id}", summary="Read a workspace", **operation(ok={200: content(WorkspaceView)}))
async def read(request: Request, workspace_id: Id, query: Annotated[WorkspaceQuery, Query()]) -> Response:
    """404 when it does not exist or was deleted."""
    services = services_of(request)
    if query.as_of:
        caller = await services.caller_in(request, workspace_id, deleted=True)
        question = ItemGet(kind="workspace", id=workspace_id, as_of=query.as_of)
        answer = await services.ask.ask(caller.workspace, question, services.settings.ask_timeout_s)
        found = msgspec.json.decode(replies.result_of(answer), type=_Then)
        return replies.json(_view(found.id, found.data), headers={replies.SEQUENCE: str(answer.facts)})
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
        raise Conflict(
            "default_workspace",
            "The default workspace cannot be deleted; set TRIALBOOK_DEFAULT_WORKSPACE to another one first.",
        )
    outcome = await services.handler.handle(aggregate(workspace_id), domain.Delete(), caller.meta)
    services.workspaces.applied(workspace_id, outcome)
    return Response(None, 204, {replies.SEQUENCE: str(outcome.sequence)})

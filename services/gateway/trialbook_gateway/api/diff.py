"""/v1/.../diff: what differs between two moments."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from trialbook.history import Changes, Difference
from trialbook.ids import parse_id
from trialbook.queries import DiffOne, DiffWorkspace
from trialbook_gateway import replies
from trialbook_gateway.api.strict import StrictRoute
from trialbook_gateway.openapi import content, operation
from trialbook_gateway.reading import seen_in
from trialbook_gateway.schemas.base import Id
from trialbook_gateway.schemas.history import DiffQuery, WorkspaceDiffQuery
from trialbook_gateway.services import caller_of, services_of

router = APIRouter(prefix="/v1", route_class=StrictRoute)
Kind = Literal["run", "file", "dataset", "model"]
WorkspaceId = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]


def _route(kind: Kind) -> None:
    @router.get(
        f"/{kind}s/{{item}}/diff", summary=f"What differs between two moments of a {kind}", tags=[f"{kind}s"],
        name=f"diff_{kind}", **operation(ok={200: content(Difference)}),
    )  # fmt: skip
    async def one(request: Request, item: Id, query: Annotated[DiffQuery, Query()]) -> Response:
        """Every member that differs, with the fact that changed it. ``from`` and ``to``: sequences or times."""
        services, caller = await caller_of(request)
        id_ = parse_id(item, f"{kind} id")
        question = DiffOne(
            kind=kind, id=id_, since=query.since, until=query.until,
            at_least=services.seen_by(caller, kind, id_, query.at_least),
        )  # fmt: skip
        answer = await services.ask.ask(caller.workspace, question, services.settings.ask_timeout_s)
        return replies.raw(replies.result_of(answer), headers={replies.SEQUENCE: str(answer.facts)})


for _kind in ("run", "file", "dataset", "model"):
    _route(_kind)


@router.get(
    "/workspaces/{workspace_id}/diff", summary="What differs between two moments of a workspace", tags=["workspaces"],
    **operation(ok={200: content(Changes)}),
)  # fmt: skip
async def workspace(
    request: Request, workspace_id: WorkspaceId, query: Annotated[WorkspaceDiffQuery, Query()]
) -> Response:
    """Runs, files, datasets and models that were created, changed or deleted, in the order of their first change."""
    services = services_of(request)
    caller = await services.caller_in(request, workspace_id, deleted=True)
    question = DiffWorkspace(
        since=query.since, until=query.until, kinds=list(query.kind), limit=query.limit, cursor=query.cursor,
        at_least=seen_in(services, caller, query.at_least),
    )  # fmt: skip
    return replies.page(request, await services.ask.ask(caller.workspace, question, services.settings.ask_timeout_s))

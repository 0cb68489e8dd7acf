"""/v1/runs/{run}/stream (SSE) and /v1/runs/{run}/ws (WebSocket)."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, WebSocket
from pydantic import ValidationError
from starlette.responses import Response

from trialbook.errors import Refusal
from trialbook.ids import parse_id
from trialbook_gateway.api.strict import StrictRoute
from trialbook_gateway.live.items import KINDS, parse_cursor
from trialbook_gateway.live.sse import MEDIA_TYPE, opened
from trialbook_gateway.live.websocket import serve
from trialbook_gateway.openapi import operation
from trialbook_gateway.problems import faults_of, invalid, problem
from trialbook_gateway.schemas.base import Id
from trialbook_gateway.schemas.live import LiveQuery, WebSocketQuery
from trialbook_gateway.services import caller_of, services_of

router = APIRouter(prefix="/v1/runs/{run}", tags=["live"], route_class=StrictRoute)
STREAM = {MEDIA_TYPE: {"schema": {"type": "string"}}}
LAST_EVENT_ID = {
    "name": "Last-Event-ID", "in": "header", "required": False, "schema": {"type": "string", "maxLength": 40},
    "description": "Resume after this cursor.",
}  # fmt: skip


@router.get("/stream", summary="Follow a run", **operation(ok={200: STREAM}, parameters=(LAST_EVENT_ID,)))
async def stream(request: Request, run: Id, query: Annotated[LiveQuery, Query()]) -> Response:
    """Log lines, metrics, progress, facts and status as server-sent events, from a cursor to the final status."""
    services, caller = await caller_of(request)
    position = parse_cursor(request.headers.get("last-event-id") or query.cursor)
    following = services.hub.follow_run(
        caller.workspace, parse_id(run, "run id"), position=position, kinds=query.kinds or KINDS, level=query.level
    )
    return await opened(services, following)


def _query(websocket: WebSocket) -> WebSocketQuery:
    given: dict[str, Any] = dict(websocket.query_params.multi_items())
    if "kinds" in given:
        given["kinds"] = websocket.query_params.getlist("kinds")
    try:
        return WebSocketQuery.model_validate(given)
    except ValidationError as error:
        raise invalid(faults_of(error.errors(include_url=False, include_input=False))) from None


@router.websocket("/ws")
async def follow(websocket: WebSocket, run: str) -> None:
    """The same messages as ``stream``, one JSON text frame each; closes with 1000 after the final status."""
    services = services_of(websocket)
    try:
        caller = await services.caller(websocket)
        query = _query(websocket)
        following = services.hub.follow_run(
            caller.workspace, parse_id(run, "run id"), position=parse_cursor(query.cursor),
            kinds=query.kinds or KINDS, level=query.level,
        )  # fmt: skip
        with services.hub.client("websocket"):
            async with following as follower:
                await serve(websocket, services, follower)
    except Refusal as refusal:
        await websocket.send_denial_response(problem(websocket.scope, refusal))

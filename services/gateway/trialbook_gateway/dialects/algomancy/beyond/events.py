"""Status and progress as server-sent events, beside polling."""

from __future__ import annotations

import re
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from trialbook.domain.run.state import TERMINAL
from trialbook.queries import PAGE_LIMIT, RunList
from trialbook_gateway.dialects.algomancy.beyond.following import following_scenario, following_session
from trialbook_gateway.dialects.algomancy.errors import bad_value
from trialbook_gateway.dialects.algomancy.parts import Room, room_of
from trialbook_gateway.dialects.algomancy.routes.common import described
from trialbook_gateway.dialects.algomancy.routes.scenarios import ONE, SCENARIOS
from trialbook_gateway.dialects.algomancy.segments import NamedRoute
from trialbook_gateway.dialects.algomancy.shape import SCENARIO, Run
from trialbook_gateway.live.items import parse_cursor
from trialbook_gateway.live.sse import MEDIA_TYPE, opened
from trialbook_gateway.problems import HttpRefusal
from trialbook_gateway.reading import pages, seen_in

router = APIRouter(route_class=NamedRoute)
HEADER = "last-event-id"
STREAM: dict[int | str, dict[str, Any]] = {
    200: {"description": "Events", "content": {MEDIA_TYPE: {"schema": {"type": "object"}}}}
}
TOLD: dict[int | str, dict[str, Any]] = {204: {"description": "The end was told already"}}
RESUME = {
    "parameters": [
        {
            "name": "Last-Event-ID", "in": "header", "required": False, "schema": {"type": "string"},
            "description": "The id of the last event that was received: go on after it.",
        }
    ]
}  # fmt: skip
Cursor = Annotated[str, Query(description="As `Last-Event-ID`, for clients that cannot set headers.")]
ACTIVE = ["queued", "running", "paused"]
_SEQUENCE = re.compile(r"[0-9]{1,15}")


class _Page(msgspec.Struct):
    items: list[Run]


_decode = msgspec.json.Decoder(_Page).decode


@router.get(
    SCENARIOS + "/events", response_class=Response, responses={**described(400), **STREAM}, openapi_extra=RESUME
)
async def session_events(request: Request, session_id: str, cursor: Cursor = "") -> Response:
    """Every change of status in the session, and the progress of what is processed. A new stream begins with what is
    queued or processed now; it never ends by itself.
    """
    room = await room_of(request, session_id)
    text = request.headers.get(HEADER) or cursor
    if text and not _SEQUENCE.fullmatch(text):
        raise bad_value("This is no event id of this stream.")
    active, reached = await _active(room)
    after = int(text) if text else reached
    following = following_session(room.services, room.caller, active, after, told=bool(text))
    return await opened(room.services, following)


@router.get(
    ONE + "/events",
    response_class=Response,
    responses={**described(400), **STREAM, **TOLD},
    openapi_extra=RESUME,
)
async def scenario_events(request: Request, session_id: str, scenario_id: str, cursor: Cursor = "") -> Response:
    """Status and progress of one scenario up to the end of its execution; one that has ended tells its final status."""
    room = await room_of(request, session_id)
    run = await room.parts.scenarios.find(room.caller, scenario_id)
    text = request.headers.get(HEADER) or cursor
    try:
        position = parse_cursor(text)
    except HttpRefusal:
        raise bad_value("This is no event id of this stream.") from None
    if run.status in TERMINAL and position.facts >= run.sequence:
        return Response(None, 204)  # tells browsers not to connect again
    following = following_scenario(room.services, room.caller, room.parts.scenarios, run, position)
    return await opened(room.services, following)


async def _active(room: Room) -> tuple[list[Run], int]:
    """What is queued or processed, and the ledger sequence up to which that is true."""
    found: list[Run] = []
    reached = 0
    query = RunList(
        workload=SCENARIO, dialect=SCENARIO, status=ACTIVE, order="created_asc", limit=PAGE_LIMIT,
        at_least=seen_in(room.services, room.caller, 0),
    )  # fmt: skip
    async for answer in pages(room.services, room.caller, query):
        found += _decode(answer.result or b"{}").items
        reached = reached or answer.facts
    return found, reached

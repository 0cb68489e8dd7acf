"""What the original does not have."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from trialbook_gateway.dialects.algomancy import listing, schemas, shape
from trialbook_gateway.dialects.algomancy.executions import executions
from trialbook_gateway.dialects.algomancy.parts import room_of
from trialbook_gateway.dialects.algomancy.routes import data, scenarios
from trialbook_gateway.dialects.algomancy.routes.common import described, reply
from trialbook_gateway.dialects.algomancy.segments import NamedRoute

router = APIRouter(route_class=NamedRoute)


@router.post(scenarios.ONE + "/cancel", status_code=202, response_model=schemas.Scenario, responses=described(409))
async def cancel_scenario(request: Request, session_id: str, scenario_id: str) -> Response:
    """End it, in the queue or while it is processed, with all its processes. 409 unless it is active."""
    room = await room_of(request, session_id)
    run = await room.parts.scenarios.find(room.caller, scenario_id)
    ended = await room.parts.scenarios.cancel(room.caller, run, room.parts.settings.cancel_wait_s)
    return reply(await scenarios.shown(room, ended), 202)


@router.post(scenarios.ONE + "/reset", response_model=schemas.Scenario, responses=described(409))
async def reset_scenario(request: Request, session_id: str, scenario_id: str) -> Response:
    """Make it what it was when it was created. 409 while it is active."""
    room = await room_of(request, session_id)
    run = await room.parts.scenarios.find(room.caller, scenario_id)
    return reply(await scenarios.shown(room, await room.parts.scenarios.reset(room.caller, run)))


@router.get(scenarios.ONE + "/runs", response_model=schemas.Executions, responses=described())
async def scenario_runs(request: Request, session_id: str, scenario_id: str) -> Response:
    """All executions with their KPIs and results, not only the latest."""
    room = await room_of(request, session_id)
    run = await room.parts.scenarios.find(room.caller, scenario_id)
    parts = room.parts
    return reply({"runs": await executions(room.services, room.caller, parts.profile, parts.results, run.id)})


@router.get(scenarios.SCENARIOS + "/summary", response_model=schemas.SummaryPage, responses=described(422))
async def scenario_summary(
    request: Request,
    session_id: str,
    status: Annotated[schemas.ScenarioStatus | None, Query()] = None,
    algorithm: Annotated[str, Query(max_length=500)] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: Annotated[str, Query(max_length=500, description="Where the page before ended.")] = "",
) -> Response:
    """A light list, page by page in creation order; filters are combined."""
    room = await room_of(request, session_id)
    runs, following = await listing.page(
        room.services, room.caller, status=status or "", algorithm=algorithm, cursor=cursor, limit=limit
    )
    return reply({"items": [shape.summary(room.parts.profile, run) for run in runs], "next_cursor": following})


@router.get(data.ONE + "/messages", response_model=schemas.Messages, responses=described())
async def data_messages(request: Request, session_id: str, data_key: str) -> Response:
    """What the load of the dataset's newest version had to say; nothing for data that came as JSON."""
    room = await room_of(request, session_id)
    stored = await room.parts.datasets.find(room.caller.workspace, data_key)
    workspace, _, run = stored.content.load.partition("/")
    record = await room.parts.loads.record(workspace, run) if run else {"messages": []}
    return reply({"messages": record["messages"]})


@router.get(scenarios.ROOM + "/etl/{load_id}", response_model=schemas.Load, responses=described())
async def read_load(request: Request, session_id: str, load_id: str) -> Response:
    """One load with all its messages, also a failed one."""
    room = await room_of(request, session_id)
    return reply(await room.parts.loads.record(room.caller.workspace, load_id))

"""Algorithms, KPIs and scenarios, as documented."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from trialbook_gateway.dialects.algomancy import listing, schemas, shape
from trialbook_gateway.dialects.algomancy.beyond.quotas import check_scenarios
from trialbook_gateway.dialects.algomancy.errors import not_found
from trialbook_gateway.dialects.algomancy.parts import Room, room_of
from trialbook_gateway.dialects.algomancy.routes.common import described, reply, storable_body
from trialbook_gateway.dialects.algomancy.routes.sessions import SESSIONS
from trialbook_gateway.dialects.algomancy.segments import NamedRoute
from trialbook_gateway.dialects.algomancy.shape import Run

router = APIRouter(route_class=NamedRoute)
ROOM = SESSIONS + "/{session_id}"
SCENARIOS = ROOM + "/scenarios"
ONE = SCENARIOS + "/{scenario_id}"


async def shown(room: Room, run: Run) -> shape.Document:
    """The whole scenario."""
    return shape.scenario(room.parts.profile, run, await room.parts.results.of(run))


@router.get(ROOM + "/algorithms", response_model=schemas.Algorithms, responses=described())
async def list_algorithms(request: Request, session_id: str) -> Response:
    """Names in registration order."""
    room = await room_of(request, session_id)
    return reply({"algorithms": [algorithm.name for algorithm in room.parts.profile.algorithms]})


@router.get(ROOM + "/algorithms/{algorithm_name}/parameters", response_model=schemas.Parameters, responses=described())
async def algorithm_parameters(request: Request, session_id: str, algorithm_name: str) -> Response:
    """One descriptor per parameter, good enough to draw a form."""
    room = await room_of(request, session_id)
    algorithm = room.parts.profile.find(algorithm_name)
    if algorithm is None:
        raise not_found("Algorithm", algorithm_name)
    now = room.services.clock.now()
    return reply({"name": algorithm.name, "parameters": algorithm.parameters.descriptors(now)})


@router.get(ROOM + "/kpis", response_model=schemas.Kpis, responses=described())
async def list_kpis(request: Request, session_id: str) -> Response:
    """Keys in registration order."""
    room = await room_of(request, session_id)
    return reply({"kpis": [kpi.key for kpi in room.parts.profile.kpis]})


@router.get(SCENARIOS, response_model=list[schemas.Scenario], responses=described())
async def list_scenarios(request: Request, session_id: str) -> Response:
    """All scenarios in creation order."""
    room = await room_of(request, session_id)
    found: list[shape.Document] = []
    async for runs in listing.everything(room.services, room.caller):
        large = await room.parts.results.of_all(runs)
        found += [shape.scenario(room.parts.profile, run, more) for run, more in zip(runs, large, strict=True)]
    return reply(found)


@router.post(
    SCENARIOS,
    status_code=201,
    response_model=schemas.Scenario,
    responses=described(400, 409, 422),
    dependencies=[Depends(storable_body)],
)
async def create_scenario(request: Request, session_id: str, body: schemas.ScenarioCreate) -> Response:
    """Bind a dataset, an algorithm with its parameters and all KPIs. An ``Idempotency-Key`` lets you repeat it."""
    room = await room_of(request, session_id)
    await check_scenarios(room)
    run = await room.parts.scenarios.create(
        room.caller, request, body.tag, body.dataset_key, body.algo_name, body.algo_params, body.data_params
    )
    return reply(await shown(room, run), 201)


@router.get(ROOM + "/processing", response_model=schemas.Scenario | None, responses=described())
async def processing_scenario(request: Request, session_id: str) -> Response:
    """The scenario that is executed now, or null."""
    room = await room_of(request, session_id)
    run = await listing.processing(room.services, room.caller)
    return reply(None if run is None else await shown(room, run))


@router.get(ONE, response_model=schemas.Scenario, responses=described())
async def read_scenario(request: Request, session_id: str, scenario_id: str) -> Response:
    """A scenario with its KPIs and result."""
    room = await room_of(request, session_id)
    return reply(await shown(room, await room.parts.scenarios.find(room.caller, scenario_id)))


@router.delete(ONE, status_code=204, responses=described())
async def delete_scenario(request: Request, session_id: str, scenario_id: str) -> Response:
    """Remove a scenario; what it executes is ended, and its tag is free."""
    room = await room_of(request, session_id)
    await room.parts.scenarios.delete(room.caller, await room.parts.scenarios.find(room.caller, scenario_id))
    return Response(None, 204)


@router.post(ONE + "/run", status_code=202, response_model=schemas.Scenario, responses=described(409))
async def run_scenario(request: Request, session_id: str, scenario_id: str) -> Response:
    """Queue it behind the session's other scenarios; a finished one begins anew. 409 while it is active."""
    room = await room_of(request, session_id)
    run = await room.parts.scenarios.find(room.caller, scenario_id)
    return reply(await shown(room, await room.parts.scenarios.run(room.caller, run)), 202)


@router.get(ONE + "/status", response_model=schemas.ScenarioState, responses=described())
async def scenario_status(request: Request, session_id: str, scenario_id: str) -> Response:
    """Status and progress, for polling."""
    room = await room_of(request, session_id)
    return reply(shape.brief(await room.parts.scenarios.find(room.caller, scenario_id)))

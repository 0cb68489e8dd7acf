"""Datasets and loads, as documented."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, File, Form, Request, UploadFile
from starlette.responses import Response, StreamingResponse

from trialbook_gateway.dialects.algomancy import schemas
from trialbook_gateway.dialects.algomancy.beyond.quotas import check_datasets, check_rows
from trialbook_gateway.dialects.algomancy.errors import not_found
from trialbook_gateway.dialects.algomancy.ids import shown
from trialbook_gateway.dialects.algomancy.loads import Ended
from trialbook_gateway.dialects.algomancy.parts import Room, room_of
from trialbook_gateway.dialects.algomancy.routes.common import described, reply, storable_body
from trialbook_gateway.dialects.algomancy.routes.scenarios import ROOM
from trialbook_gateway.dialects.algomancy.segments import NamedRoute
from trialbook_gateway.idempotency import identify

router = APIRouter(route_class=NamedRoute)
DATA = ROOM + "/data"
ONE = DATA + "/{data_key}"
LOAD_HEADER = "X-Etl-Load"
NOTHING = {"name": "empty", "parameters": []}


@router.get(DATA, response_model=schemas.Keys, responses=described())
async def list_data(request: Request, session_id: str) -> Response:
    """Keys in the order in which they came."""
    return await _keys(await room_of(request, session_id))


@router.post(DATA + "/from-json", status_code=201, response_model=schemas.Keys, responses=described(400, 409))
async def data_from_json(request: Request, session_id: str) -> Response:
    """Add the dataset of a JSON document, in place of one with the same name."""
    room = await room_of(request, session_id)
    await _add(room, await room.parts.loads.of_json(room.caller, request))
    return await _keys(room, 201)


@router.get(ONE, responses=described())
async def read_data(request: Request, session_id: str, data_key: str) -> Response:
    """The dataset as JSON."""
    room = await room_of(request, session_id)
    stored = await room.parts.datasets.find(room.caller.workspace, data_key)
    length, pieces = await room.parts.datasets.document(stored)
    return StreamingResponse(pieces, 200, {"Content-Length": str(length)}, "application/json")


@router.get(ONE + "/parameters", response_model=schemas.Parameters, responses=described())
async def data_parameters(request: Request, session_id: str, data_key: str) -> Response:
    """One descriptor per parameter that the dataset declares."""
    room = await room_of(request, session_id)
    stored = await room.parts.datasets.find(room.caller.workspace, data_key)
    return reply(stored.content.declared or NOTHING)


@router.delete(ONE, status_code=204, responses=described(409))
async def delete_data(request: Request, session_id: str, data_key: str) -> Response:
    """409 while a scenario uses it."""
    room = await room_of(request, session_id)
    await room.parts.datasets.delete(room.caller, data_key)
    return Response(None, 204)


@router.post(
    ONE + "/derive",
    status_code=201,
    response_model=schemas.Keys,
    responses=described(400, 409, 422),
    dependencies=[Depends(storable_body)],
)
async def derive_data(request: Request, session_id: str, data_key: str, body: schemas.Derive) -> Response:
    """A copy under another key, independent of its source."""
    room = await room_of(request, session_id)
    caller, given = room.caller, [data_key, body.new_key]
    route = "algomancy.data.derive"
    asked = identify(request, caller.workspace, caller.principal.actor, route, given, room.services.ids.new())
    stored = await room.parts.datasets.find(caller.workspace, data_key)
    await check_datasets(room, [body.new_key])
    await room.parts.datasets.derive(caller, stored, body.new_key, asked.id)
    await room.parts.scenarios.create_auto(caller, body.new_key)
    return await _keys(room, 201)


@router.post(ROOM + "/etl", response_model=schemas.Loaded, responses=described(400, 409, 422))
async def run_etl(
    request: Request,
    session_id: str,
    dataset_name: Annotated[str, Form(min_length=1, pattern=r"^[^\x00]+$")],
    files: Annotated[list[UploadFile], File()],
) -> Response:
    """Load files into a dataset, in place of one with the same name. ``X-Etl-Load`` names the load."""
    room = await room_of(request, session_id)
    ended = await room.parts.loads.of_files(room.caller, request, dataset_name, files)
    await _add(room, ended)
    keys = await room.parts.datasets.keys(room.caller.workspace)
    body = {"dataset_name": dataset_name, "success": bool(ended.result.datasets), "keys": keys}
    return reply(body, headers={LOAD_HEADER: shown(ended.run)})


async def _add(room: Room, ended: Ended) -> None:
    """Make what a load has made datasets, unless the session was deleted meanwhile."""
    session = room.caller.workspace
    if session not in await room.parts.sessions.names():
        raise not_found("Session", shown(session))
    await check_datasets(room, [made.metadata.name for made in ended.result.datasets])
    for made in ended.result.datasets:
        check_rows(room, made)
        await room.parts.datasets.put(room.caller, made.metadata.name, ended.content(made))
        await room.parts.scenarios.create_auto(room.caller, made.metadata.name)


async def _keys(room: Room, status: int = 200) -> Response:
    return reply({"keys": await room.parts.datasets.keys(room.caller.workspace)}, status)

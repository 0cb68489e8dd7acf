"""The WebSocket of an experiment's logs."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.websockets import WebSocket

from trialbook.errors import Refusal, Unavailable
from trialbook_gateway.auth import accepted_subprotocol
from trialbook_gateway.dialects.marketplace import experiments
from trialbook_gateway.dialects.marketplace.stream import Stream, start_of
from trialbook_gateway.dialects.shapes import plain
from trialbook_gateway.problems import HttpRefusal
from trialbook_gateway.services import Caller, Services, services_of

NORMAL, REFUSED, UNAVAILABLE = 1000, 1008, 1013
DENIAL = "websocket.http.response"
router = APIRouter()


@router.websocket("/api/experiments/{name}/logs/ws")
async def stream_logs(socket: WebSocket, name: str) -> None:
    """Every entry once and in order, then the status, then close 1000; see the documentation of the messages."""
    services = services_of(socket)
    try:
        experiments.check_name(name)
        caller = await services.caller(socket)
    except Refusal as refusal:
        await _deny(socket, refusal)
        return
    try:
        with services.hub.client("marketplace"):
            await _serve(services, caller, socket, name)
    except Unavailable as full:
        await _deny(socket, full)


async def _serve(services: Services, caller: Caller, socket: WebSocket, name: str) -> None:
    await socket.accept(subprotocol=accepted_subprotocol(socket.scope))
    query = socket.query_params
    try:
        found = await experiments.require(services, caller, name)
        start = start_of(query.get("since"), query.get("cursor"))
    except Refusal as refusal:
        await socket.send_text(Stream.error(refusal.detail))
        await socket.close(NORMAL if isinstance(refusal, HttpRefusal) else UNAVAILABLE)
        return
    await Stream(services, caller, socket, found.id, start).run()


async def _deny(socket: WebSocket, refusal: Refusal) -> None:
    if DENIAL in socket.scope.get("extensions", {}):
        await socket.send_denial_response(plain(socket.scope, refusal))
    else:
        await socket.close(REFUSED, refusal.detail[:100])

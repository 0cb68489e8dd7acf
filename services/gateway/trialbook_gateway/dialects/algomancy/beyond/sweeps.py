"""Sweeps: one scenario per point of parameters, all or none, queued in their order, compared in one table."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import msgspec
from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from trialbook.algomancy import ParameterError
from trialbook.domain import names
from trialbook.domain.names import NameState
from trialbook.domain.run import RunSpec, commands
from trialbook.domain.run.state import TERMINAL
from trialbook.envelope import AggregateId
from trialbook.errors import Conflict, TooLarge
from trialbook.ids import derived_id
from trialbook_gateway.dialects.algomancy import listing, shape
from trialbook_gateway.dialects.algomancy.beyond import schemas
from trialbook_gateway.dialects.algomancy.beyond.comparison import compared_by
from trialbook_gateway.dialects.algomancy.beyond.quotas import check_scenarios
from trialbook_gateway.dialects.algomancy.errors import bad_value, conflict, not_found
from trialbook_gateway.dialects.algomancy.ids import given, shown
from trialbook_gateway.dialects.algomancy.parts import Room, room_of
from trialbook_gateway.dialects.algomancy.routes.common import described, reply, storable_body
from trialbook_gateway.dialects.algomancy.routes.scenarios import ROOM
from trialbook_gateway.dialects.algomancy.scenarios import IN_USE, SCOPE
from trialbook_gateway.dialects.algomancy.segments import NamedRoute
from trialbook_gateway.dialects.algomancy.shape import Run
from trialbook_gateway.idempotency import Idempotency, identify, same_request
from trialbook_gateway.ordering import name_aggregate

router = APIRouter(route_class=NamedRoute)
SWEEPS = ROOM + "/sweeps"
ONE = SWEEPS + "/{sweep_id}"
LABEL = "sweep"
MAX_PARAMS = 16
"""Parameters of all points together, in multiples of what one scenario may have."""
ROUTE = "algomancy.sweeps.create"
MAX_POINTS = 250
"""As many as fit into one append, so that all scenarios are created or none."""


@router.post(
    SWEEPS, status_code=201, response_model=schemas.Sweep, responses=described(400, 409, 422),
    dependencies=[Depends(storable_body)],
)  # fmt: skip
async def create_sweep(request: Request, session_id: str, body: schemas.SweepCreate) -> Response:
    """One scenario per point, named ``<tag_prefix> <number>``; with ``run`` they are queued in their order.

    Every point is checked before any scenario is created.
    """
    room = await room_of(request, session_id)
    caller = room.caller
    asked = identify(
        request, caller.workspace, caller.principal.actor, ROUTE, body.model_dump(), room.services.ids.new()
    )
    if not await _repeated(room, asked):
        stored = await room.parts.datasets.find(caller.workspace, body.dataset_key)
        room = msgspec.structs.replace(room, caller=caller.keeping(stored.datakey))
        await _create(room, asked, await _specs(room, asked.id, body), start=body.run)
    return reply(await _shown(room, asked.id), 201)


@router.get(ONE, response_model=schemas.Sweep, responses=described())
async def read_sweep(request: Request, session_id: str, sweep_id: str) -> Response:
    """How far it is, and its scenarios beside each other, the best ones per KPI named."""
    room = await room_of(request, session_id)
    return reply(await _shown(room, sweep_id))


@router.post(ONE + "/cancel", status_code=202, response_model=schemas.Sweep, responses=described())
async def cancel_sweep(request: Request, session_id: str, sweep_id: str) -> Response:
    """Cancel what is queued or processed; what has ended or was never run stays as it is."""
    room = await room_of(request, session_id)
    runs = [run for run in await _runs(room, sweep_id) if run.status in ("queued", "running", "paused")]
    for run in reversed(runs):  # who waits goes first, so that nobody is let in
        aggregate = room.caller.aggregate("run", run.id)
        command = commands.RequestCancel(reason="its sweep was cancelled")
        try:
            outcome = await room.services.handler.handle(aggregate, command, room.caller.meta)
        except Conflict as refusal:  # it ended meanwhile
            if refusal.code != "run_finished":
                raise
            continue
        room.services.wrote(aggregate, outcome.sequence)
    if runs and runs[0].status == "running":
        ended = await room.services.verdicts.wait(room.caller.workspace, runs[0].id, room.parts.settings.cancel_wait_s)
        room.services.wrote(room.caller.aggregate("run", runs[0].id), ended)
    return reply(await _shown(room, sweep_id), 202)


async def _shown(room: Room, text: str) -> dict[str, Any]:
    runs = await _runs(room, text)
    counts: dict[str, int] = {}
    for run in runs:
        counts[shape.status_of(run)] = counts.get(shape.status_of(run), 0) + 1
    first = runs[0]
    compared = compared_by(room.parts.profile, list(room.parts.profile.kpis), runs, first)
    return {
        "id": shown(_id(text)), "tag_prefix": (first.name or "").rpartition(" ")[0],
        "dataset_key": first.extra.dataset_key, "algo_name": first.extra.algorithm, "created_at": first.created_at,
        "finished": all(run.status in TERMINAL for run in runs), "counts": counts,
        "comparison": msgspec.to_builtins(compared),
    }  # fmt: skip


async def _runs(room: Room, text: str) -> list[Run]:
    """The scenarios of a sweep in their order, those that were deleted left out. Raises 404 when none is left."""
    found: list[Run] = []
    async for runs in listing.everything(room.services, room.caller, sweep=_id(text)):
        found += runs
    if not found:
        raise not_found("Sweep", text)
    return found


def _id(text: str) -> str:
    id_ = given(text)
    if id_ is None:
        raise not_found("Sweep", text)
    return id_


async def _specs(room: Room, sweep: str, body: schemas.SweepCreate) -> list[RunSpec]:
    """One per point, all checked. Raises 400, 404, 409."""
    parts, workspace = room.parts, room.caller.workspace
    if parts.profile.find(body.algo_name) is None:
        raise not_found("Algorithm", body.algo_name)
    stored = await parts.datasets.find(workspace, body.dataset_key)
    points = list(itertools.islice(_points(body), MAX_POINTS + 1))
    if not points:
        raise bad_value("A sweep needs a grid, a data_grid or points.")
    if len(points) > MAX_POINTS:
        raise bad_value(f"A sweep has at most {MAX_POINTS} scenarios.")
    await check_scenarios(room, len(points))
    found: list[RunSpec] = []
    left = MAX_PARAMS * room.services.settings.max_params_bytes
    for number, (values, data_values) in enumerate(points, 1):
        tag = f"{body.tag_prefix} {number:0{len(str(len(points)))}d}"
        owner: NameState = (await room.services.handler.load(name_aggregate(workspace, SCOPE, tag))).state
        if owner.owner:
            raise conflict(IN_USE.format(tag))
        try:
            spec = parts.scenarios.spec(tag, stored, body.algo_name, values, data_values)
        except ParameterError as error:
            raise bad_value(f"Point {number}: {error}") from None
        left -= len(spec.extra["parameters"]) + len(tag)
        if left < 0:
            raise TooLarge("params_too_large", "The parameters of all points together are too large.")
        found.append(msgspec.structs.replace(spec, labels={**spec.labels, LABEL: sweep}))
    return found


def _points(body: schemas.SweepCreate) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Parameters of the algorithm and of the data, the last list changing quickest, single points at the end."""
    common, data_common = body.algo_params or {}, body.data_params or {}
    if body.grid or body.data_grid:
        grid, data_grid = body.grid or {}, body.data_grid or {}
        for values in itertools.product(*grid.values(), *data_grid.values()):
            own = dict(zip(grid, values, strict=False))
            yield {**common, **own}, {**data_common, **dict(zip(data_grid, values[len(grid) :], strict=True))}
    for point in body.points or ():
        yield {**common, **point.algo_params}, {**data_common, **point.data_params}


def _run_id(sweep: str, number: int) -> str:
    return derived_id("algomancy-sweep", sweep, str(number))


async def _repeated(room: Room, asked: Idempotency) -> bool:
    """Whether this key has created a sweep before. Raises 409 when that was another one."""
    if not asked.keyed:
        return False
    first = room.caller.aggregate("run", _run_id(asked.id, 1))
    state = (await room.services.handler.load(first)).state
    if state.status == "none":
        return False
    same_request(state.digest, asked, first)
    return True


async def _create(room: Room, asked: Idempotency, specs: list[RunSpec], *, start: bool) -> None:
    """All in one append. Raises 409 when somebody took one of the tags meanwhile."""
    caller, services = room.caller, room.services
    orders: list[tuple[AggregateId, Any]] = []
    for number, spec in enumerate(specs, 1):
        id_ = _run_id(asked.id, number)
        ticket = services.ids.new() if start or room.parts.profile.autorun else ""
        create = commands.Create(
            spec=spec, start=bool(ticket), ticket=ticket, command_id=asked.command_id, digest=asked.digest
        )
        claim = names.Claim(scope=SCOPE, name=str(spec.name), owner=id_)
        orders += [(caller.aggregate("run", id_), create), (name_aggregate(caller.workspace, SCOPE, claim.name), claim)]
    try:
        outcomes = await services.handler.handle_all(orders, caller.meta)
    except Conflict as refusal:
        if refusal.code != "name_taken":
            raise
        raise conflict(refusal.detail) from None
    for (aggregate, _), outcome in zip(orders, outcomes, strict=True):
        services.wrote(aggregate, outcome.sequence)

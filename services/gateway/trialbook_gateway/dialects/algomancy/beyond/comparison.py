"""Scenarios beside each other by their KPIs, as JSON or as a table for other programs."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from trialbook.algomancy import SENTINEL, Kpi, Profile
from trialbook_gateway import tables
from trialbook_gateway.comparing import Comparison, Measure, Row, compare, table
from trialbook_gateway.dialects.algomancy import listing, shape
from trialbook_gateway.dialects.algomancy.beyond import schemas
from trialbook_gateway.dialects.algomancy.errors import bad_value, not_found
from trialbook_gateway.dialects.algomancy.ids import shown
from trialbook_gateway.dialects.algomancy.parts import Room, room_of
from trialbook_gateway.dialects.algomancy.routes.common import described
from trialbook_gateway.dialects.algomancy.routes.scenarios import SCENARIOS
from trialbook_gateway.dialects.algomancy.segments import NamedRoute
from trialbook_gateway.dialects.algomancy.shape import Run
from trialbook_gateway.tables import Format

router = APIRouter(route_class=NamedRoute)
MAX_COMPARED = 1000
AT_ONCE = 16
ABOUT = ("id", "tag", "dataset", "algorithm", "parameters", "status")
FILES = {media_type: {"schema": {"type": "string"}} for media_type in tables.OTHERS}


@router.get(
    SCENARIOS + "/compare",
    response_model=schemas.Comparison,
    responses={**described(400, 406, 422), 200: {"content": FILES}},
)
async def compare_scenarios(
    request: Request,
    session_id: str,
    ids: Annotated[
        list[str] | None, Query(description="Scenarios; repeated or with commas. All complete ones.")
    ] = None,
    kpis: Annotated[list[str] | None, Query(description="Keys, repeated. All.")] = None,
    baseline: Annotated[str, Query(max_length=100, description="The scenario to compare with. The first one.")] = "",
    form: Annotated[Format | None, Query(alias="format", description="Instead of `Accept`.")] = None,
) -> Response:
    """Values, what is best and what meets its threshold per KPI, and differences to a baseline."""
    room = await room_of(request, session_id)
    measured = _measured(room.parts.profile, kpis)
    runs = await _chosen(room, ids)
    base = runs[0] if runs else None
    if baseline:
        base = await room.parts.scenarios.find(room.caller, baseline)
        if base.id not in {run.id for run in runs}:
            runs.insert(0, base)
    compared = compared_by(room.parts.profile, measured, runs, base)
    wanted = tables.chosen(request, form)
    if wanted == "json":
        return tables.json(compared)
    return await tables.reply(table(compared, ABOUT), wanted, "comparison")


def compared_by(profile: Profile, kpis: list[Kpi], runs: list[Run], base: Run | None) -> Comparison:
    """Scenarios beside each other; KPIs that were not computed have no value."""
    measures = [
        Measure(key=kpi.key, name=kpi.display_name, unit=kpi.unit, better_when=kpi.better_when, threshold=kpi.threshold)
        for kpi in kpis
    ]
    rows = [Row(id=shown(run.id), about=_about(run), values=values_of(profile, run)) for run in runs]
    return compare(measures, rows, None if base is None else shown(base.id))


def values_of(profile: Profile, run: Run) -> dict[str, float | None]:
    """The KPIs of a scenario, None for those that were not computed."""
    found = {key: kpi["value"] for key, kpi in shape.kpis_of(profile, run).items()}
    return {key: None if value == SENTINEL else value for key, value in found.items()}


def _about(run: Run) -> dict[str, str | None]:
    extra = run.extra
    told = (shown(run.id), run.name, extra.dataset_key, extra.algorithm, extra.parameters, shape.status_of(run))
    return dict(zip(ABOUT, told, strict=True))


def _measured(profile: Profile, keys: list[str] | None) -> list[Kpi]:
    known = {kpi.key: kpi for kpi in profile.kpis}
    for key in keys or ():
        if key not in known:
            raise not_found("KPI", key)
    return [known[key] for key in dict.fromkeys(keys)] if keys else list(profile.kpis)


async def _chosen(room: Room, ids: list[str] | None) -> list[Run]:
    if not ids:
        runs: list[Run] = []
        async for more in listing.everything(room.services, room.caller, status="complete"):
            runs += more
            if len(runs) >= MAX_COMPARED:
                break
        return runs[:MAX_COMPARED]
    wanted = list(dict.fromkeys(one.strip() for text in ids for one in text.split(",") if one.strip()))
    if len(wanted) > MAX_COMPARED:
        raise bad_value(f"At most {MAX_COMPARED} scenarios are compared at once.")
    found: list[Run] = []
    for start in range(0, len(wanted), AT_ONCE):
        some = wanted[start : start + AT_ONCE]
        found += await asyncio.gather(*(room.parts.scenarios.find(room.caller, one) for one in some))
    return list({run.id: run for run in found}.values())

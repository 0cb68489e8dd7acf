"""/v1/erasures: erase a data subject, and see how far the erasure is."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from msgspec.structs import replace
from pydantic import Field
from starlette.responses import Response

from trialbook.aggregates import DATASUBJECT
from trialbook.codec import fact_of
from trialbook.domain.datasubject import DataSubjectState
from trialbook.envelope import AggregateId
from trialbook.errors import NotFound
from trialbook.ids import parse_id
from trialbook.views import ErasureView
from trialbook_gateway import replies
from trialbook_gateway.api.strict import StrictRoute
from trialbook_gateway.openapi import content, operation
from trialbook_gateway.reading import moment_of
from trialbook_gateway.schemas.base import Body, DatedQuery, Id, QueryModel
from trialbook_gateway.services import Caller, Services, caller_of
from trialbook_gateway.strictjson import read_model

router = APIRouter(prefix="/v1/erasures", tags=["erasures"], route_class=StrictRoute)
Workspace = Annotated[QueryModel, Query()]


class ErasureCreate(Body):
    """Whom to erase: what was given as ``Trialbook-Data-Subject``. ``reason`` is kept in clear and must name nobody."""

    data_subject: Annotated[str, Field(min_length=1, max_length=200)]
    reason: Annotated[str, Field(max_length=500)] = ""


def _view(id_: str, state: DataSubjectState) -> ErasureView:
    return ErasureView(
        id=id_, status="erased" if state.shredded_at else "erasing" if state.erased_at else "registered",
        reason=state.reason, registered_at=state.registered_at or None, erased_at=state.erased_at or None,
        shredded_at=state.shredded_at or None, aggregates=state.aggregates, signals=state.signals, blobs=state.blobs,
    )  # fmt: skip


async def erase(services: Services, caller: Caller, order: ErasureCreate) -> tuple[ErasureView, int]:
    """Decide to erase; the sequence of the fact. Raises ``NotFound``, ``Conflict`` while runs go on."""
    aggregate = services.data_subjects.aggregate(caller.workspace, order.data_subject)
    outcome = await services.data_subjects.erase(aggregate, order.reason, caller.meta)
    services.wrote(aggregate, outcome.sequence)
    return _view(aggregate.id, outcome.state), outcome.sequence


@router.post(
    "",
    summary="Erase a data subject",
    **operation(ok={202: content(ErasureView), 200: content(ErasureView)}, errors=(409,), body=ErasureCreate),
)
async def create(request: Request, _: Workspace) -> Response:
    """Destroys the key of its personal data. 200 when that was done before, 409 while runs of it are not finished."""
    services, caller = await caller_of(request)
    view, sequence = await erase(services, caller, await read_model(request, ErasureCreate))
    status = 200 if view.shredded_at else 202
    headers = {"Location": f"/v1/erasures/{view.id}", replies.SEQUENCE: str(sequence)}
    return replies.json(view, status, headers)


@router.get("/{erasure_id}", summary="Read an erasure", **operation(ok={200: content(ErasureView)}))
async def read(request: Request, erasure_id: Id, query: Annotated[DatedQuery, Query()]) -> Response:
    """How far it is, or was; `waits_for` are runs that it waits for now."""
    services, caller = await caller_of(request)
    up_to = await moment_of(services, caller, query.as_of)
    aggregate = AggregateId(caller.workspace, "datasubject", parse_id(erasure_id, "erasure id"))
    history = await services.log.read(aggregate)
    records = [record for record in history if record.sequence <= up_to]
    state = DATASUBJECT.decider.fold((fact_of(record.event), record.event.time) for record in records)
    if not state.erased_at:
        raise NotFound("erasure_not_found", "There is no such erasure in this workspace.")
    view = _view(erasure_id, state)
    if view.status == "erasing" and not query.as_of:
        waits_for = await services.data_subjects.waits_for(aggregate, services.settings.ask_timeout_s)
        view = replace(view, waits_for=waits_for)
    return replies.json(view, headers={replies.SEQUENCE: str(records[-1].sequence)})

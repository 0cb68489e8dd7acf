"""/v1/runs/{run}/replay: execute an ended run again with its recorded effects."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from trialbook.domain.run import Retry, RunSpec, RunState
from trialbook.errors import Conflict, NotFound
from trialbook.handle import Loaded
from trialbook.ids import parse_id
from trialbook.views import RunView, run_view
from trialbook_gateway import replies
from trialbook_gateway.api.strict import StrictRoute
from trialbook_gateway.idempotency import REPLAYED, identify
from trialbook_gateway.openapi import IDEMPOTENCY_PARAMETER, content, operation
from trialbook_gateway.ordering import create_run
from trialbook_gateway.schemas.base import Id, QueryModel
from trialbook_gateway.services import caller_of

router = APIRouter(prefix="/v1/runs/{run}", tags=["runs"], route_class=StrictRoute)
ROUTE = "runs.replay"


@router.post(
    "/replay",
    summary="Execute an ended run again with its recorded effects only",
    **operation(ok={201: content(RunView)}, errors=(409,), parameters=(IDEMPOTENCY_PARAMETER,)),
)
async def replay(request: Request, run: Id, _: Annotated[QueryModel, Query()]) -> Response:
    """A new run, whose result is ``{equal, divergence, replay_of, network}``. 409 unless it has completed or failed."""
    services, caller = await caller_of(request)
    id_ = parse_id(run, "run id")
    original: Loaded[Any] = await services.handler.load(caller.aggregate("run", id_))
    asked = identify(request, caller.workspace, caller.principal.actor, ROUTE, {"run": id_}, services.ids.new())
    outcome, replayed = await create_run(services, caller.taking_over(original), _spec(id_, original.state), asked)
    view = run_view(caller.workspace, asked.id, outcome.state, outcome.sequence)
    headers = {
        "Location": f"/v1/runs/{asked.id}", "ETag": replies.etag(outcome.sequence),
        replies.SEQUENCE: str(outcome.sequence),
    }  # fmt: skip
    if replayed:
        headers[REPLAYED] = "true"
    return replies.json(view, 201, headers)


def _spec(run: str, state: RunState) -> RunSpec:
    """The original's order without what must be unique or belongs to its dialect."""
    if state.status == "none" or state.deleted:
        raise NotFound("run_not_found", "There is no such run.")
    if state.status not in ("completed", "failed"):
        raise Conflict(
            "run_not_replayable", f"The run is {state.status}; what completed or failed can be replayed.",
            status=state.status,
        )  # fmt: skip
    order = state.order
    if order.replay_of is not None:
        raise Conflict("run_not_replayable", f"The run is itself a replay; replay its original {order.replay_of}.")
    inline = order.isolation == "inline"
    return msgspec.structs.replace(
        order, name=None, title=f"Replay of {order.name or order.title or run}"[:500], retry=Retry(), parent=None,
        lane="", dialect="native", extra={"replay_of": run}, replay_of=run,
        # Inline runs leave no room for a comparison between their end and its fact.
        isolation="process" if inline else order.isolation, pool="default" if inline else order.pool,
    )  # fmt: skip

"""/v1/runs/{run}/replay: execute an ended run again with its recorded effects."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from trialbook.views import RunView
from trialbook_gateway import acting, replies
from trialbook_gateway.api.strict import StrictRoute
from trialbook_gateway.idempotency import REPLAYED
from trialbook_gateway.openapi import IDEMPOTENCY_PARAMETER, content, operation
from trialbook_gateway.schemas.base import Id, QueryModel
from trialbook_gateway.services import caller_of

router = APIRouter(prefix="/v1/runs/{run}", tags=["runs"], route_class=StrictRoute)


@router.post(
    "/replay",
    summary="Execute an ended run again with its recorded effects only",
    **operation(ok={201: content(RunView)}, errors=(409,), parameters=(IDEMPOTENCY_PARAMETER,)),
)
async def replay(request: Request, run: Id, _: Annotated[QueryModel, Query()]) -> Response:
    """A new run, whose result is ``{equal, divergence, replay_of, network}``. 409 unless it has completed or failed."""
    services, caller = await caller_of(request)
    done = await acting.replay(services, caller, request, run)
    headers = {
        "Location": f"/v1/runs/{done.run.id}", "ETag": replies.etag(done.sequence),
        replies.SEQUENCE: str(done.sequence),
    }  # fmt: skip
    if done.replayed:
        headers[REPLAYED] = "true"
    return replies.json(done.run, 201, headers)

"""/v1/ledger/segments: which facts have been sealed, and into what."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from trialbook.errors import Forbidden
from trialbook.queries import LedgerSegments, SegmentList
from trialbook_gateway import replies
from trialbook_gateway.api.strict import StrictRoute
from trialbook_gateway.openapi import content, operation
from trialbook_gateway.schemas.base import QueryModel
from trialbook_gateway.services import services_of

router = APIRouter(prefix="/v1/ledger", tags=["ledger"], route_class=StrictRoute)
EVERYWHERE = "_"


@router.get("/segments", summary="Sealed segments of the ledger", **operation(ok={200: content(SegmentList)}))
async def segments(request: Request, _: Annotated[QueryModel, Query()]) -> Response:
    """Names, sequences and digests; for tokens that open all workspaces. `trialbook segments verify` reads them all."""
    services = services_of(request)
    if services.anywhere(request).principal.workspaces is not None:
        raise Forbidden(
            "ledger_forbidden",
            "This concerns the whole ledger; it takes a token without a list of workspaces.",
        )
    answer = await services.ask.ask(EVERYWHERE, LedgerSegments(), services.settings.ask_timeout_s)
    return replies.raw(replies.result_of(answer))

"""Routes about datasets that the original does not have: validation and baselines."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query
from starlette.responses import Response

from trialbook.errors import Refusal
from trialbook_gateway.dialects.marketplace.errors import bad_request
from trialbook_gateway.dialects.marketplace.parts import Where
from trialbook_gateway.dialects.marketplace.routes.described import described

router = APIRouter(tags=["beyond the original"])
Spec = Annotated[str, Query(description="Name, path below a dataset root, or absolute path inside one.")]


@router.get("/api/datasets/validation", response_model=dict[str, Any], responses=described(400, 422))
async def validate_dataset(where: Where, dataset: Spec) -> Response:
    """Whether it keeps the promises of the generator; ``problems`` names what does not hold."""
    try:
        report = await where.parts.datasets.validated(dataset)
    except Refusal as refusal:
        raise bad_request(refusal) from None
    found = {**msgspec.to_builtins(report), "passed": report.passed}
    return Response(msgspec.json.encode(found), media_type="application/json")


@router.get("/api/datasets/baselines", response_model=dict[str, Any], responses=described(400, 422))
async def dataset_baselines(where: Where, dataset: Spec) -> Response:
    """What buyers could get: best, cheapest, and the expected values of choosing at random."""
    try:
        found = await where.parts.datasets.baselines(dataset)
    except Refusal as refusal:
        raise bad_request(refusal) from None
    return Response(msgspec.json.encode(found), media_type="application/json")

"""Routes about datasets that the original does not have: validation, baselines, upload and generation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from trialbook.errors import Invalid, NotFound, Refusal
from trialbook_gateway.dialects.marketplace import schemas
from trialbook_gateway.dialects.marketplace.errors import bad_request
from trialbook_gateway.dialects.marketplace.parts import Here, Where
from trialbook_gateway.dialects.marketplace.routes.described import described
from trialbook_gateway.dialects.marketplace.routes.documented import strict_body
from trialbook_marketplace.archive import from_parts, from_zip
from trialbook_marketplace.baselines import ExactBaselines, exact_baselines
from trialbook_marketplace.generator import Recipe, generate
from trialbook_marketplace.manipulation import Manipulation
from trialbook_marketplace.models import Dataset
from trialbook_marketplace.validator import Report, validate

BYTES = "application/octet-stream"
BINARY = {"type": "string", "format": "binary"}

router = APIRouter(tags=["beyond the original"])
Spec = Annotated[str, Query(description="Name, path below a dataset root, or absolute path inside one.")]


@router.get("/api/datasets/validation", response_model=dict[str, Any], responses=described(400, 422))
async def validate_dataset(where: Where, dataset: Spec) -> Response:
    """Whether it keeps the promises of the generator; ``problems`` names what does not hold."""
    try:
        report = await _validated(where, dataset)
    except Refusal as refusal:
        raise bad_request(refusal) from None
    found = {**msgspec.to_builtins(report), "passed": report.passed}
    return Response(msgspec.json.encode(found), media_type="application/json")


@router.get("/api/datasets/baselines", response_model=dict[str, Any], responses=described(400, 422))
async def dataset_baselines(where: Where, dataset: Spec) -> Response:
    """What buyers could get: best, cheapest, and the expected values of choosing at random."""
    try:
        found = await _baselines(where, dataset)
    except Refusal as refusal:
        raise bad_request(refusal) from None
    return Response(msgspec.json.encode(found), media_type="application/json")


@router.post(
    "/api/datasets/upload",
    response_model=schemas.Dataset,
    responses=described(400, 413, 422),
    dependencies=[Depends(strict_body)],
)
async def upload_dataset(where: Where, body: schemas.DatasetUpload) -> Response:
    """Store a dataset given as JSON; under a known name it becomes the newest version."""
    return await _save(where, lambda: from_parts(body.name, body.customers, body.businesses))


@router.post(
    "/api/datasets/archive", response_model=schemas.Dataset, responses=described(400, 413, 422),
    openapi_extra={"requestBody": {"required": True, "content": {BYTES: {"schema": BINARY}}}},
)  # fmt: skip
async def upload_archive(
    where: Where, request: Request, name: Annotated[str, Query(min_length=1, max_length=100)]
) -> Response:
    """Store a dataset given as a ZIP archive of ``customers/*.yaml`` and ``businesses/*.yaml``."""
    content = await request.body()
    return await _save(where, lambda: from_zip(name, content))


@router.post(
    "/api/datasets/generate",
    response_model=schemas.Dataset,
    responses=described(400, 413, 422),
    dependencies=[Depends(strict_body)],
)
async def generate_dataset(where: Where, body: schemas.DatasetRecipe) -> Response:
    """Make and store a dataset; the same recipe always gives the same one. Manipulated descriptions and rating ladders
    are for experiments on biases.
    """

    def work() -> Dataset:
        wish = Manipulation(body.manipulation, body.target) if body.manipulation else None
        recipe = Recipe(
            theme=body.theme, customers=body.customers, seed=body.seed, shuffle_within_trio=body.shuffle_within_trio,
            rating_ladder=body.rating_ladder, manipulation=wish,
        )  # fmt: skip
        return msgspec.structs.replace(generate(recipe).dataset, name=body.name or recipe.name)

    return await _save(where, work)


async def _save(where: Here, make: Callable[[], Dataset]) -> Response:
    try:
        dataset = await where.parts.datasets.apart(make)
        saved = await where.parts.stored.save(where.caller, dataset)
    except Invalid as refusal:
        raise bad_request(refusal) from None
    return Response(msgspec.json.encode(saved), media_type="application/json")


async def _validated(where: Here, spec: str) -> Report:
    try:
        return await where.parts.datasets.validated(spec)
    except NotFound:
        dataset = await where.parts.stored.dataset(where.caller, spec)
        return await where.parts.datasets.apart(lambda: validate(dataset))


async def _baselines(where: Here, spec: str) -> ExactBaselines:
    dataset = await where.parts.stored.dataset(where.caller, spec)
    return await where.parts.datasets.apart(lambda: exact_baselines(dataset.customers, dataset.businesses))

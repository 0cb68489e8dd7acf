"""/asyncapi.yaml: what is said and answered on NATS. It needs no token."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from fastapi import APIRouter
from starlette.responses import Response

from trialbook_gateway import replies
from trialbook_gateway.openapi import operation

MEDIA_TYPE = "application/yaml"
router = APIRouter(tags=["service"])
_YAML = {MEDIA_TYPE: {"schema": {"type": "object"}}}


@router.get("/asyncapi.yaml", summary="Everything on NATS, as AsyncAPI 3", **operation(ok={200: _YAML}))
async def document() -> Response:
    """Questions, facts and signals with their JSON Schemas."""
    return replies.raw(_text(), media_type=MEDIA_TYPE)


@cache
def _text() -> bytes:
    return files("trialbook_gateway").joinpath("asyncapi.yaml").read_bytes()

"""/asyncapi.yaml and /v1/schemas: what is said and answered on NATS."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Annotated

import msgspec
from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from trialbook.errors import NotFound
from trialbook_gateway import replies
from trialbook_gateway.openapi import content, operation
from trialbook_gateway.schemas.base import QueryModel

MEDIA_TYPE = "application/yaml"
router = APIRouter(tags=["service"])
SCHEMA_TYPE = "application/schema+json"
_SCHEMA = {SCHEMA_TYPE: {"schema": {"type": "object"}}}
_YAML = {MEDIA_TYPE: {"schema": {"type": "object"}}}


@router.get("/asyncapi.yaml", summary="Everything on NATS, as AsyncAPI 3", **operation(ok={200: _YAML}))
async def document() -> Response:
    """Questions, facts and signals with their JSON Schemas."""
    return replies.raw(_text(), media_type=MEDIA_TYPE)


@cache
def _text() -> bytes:
    return files("trialbook_gateway").joinpath("asyncapi.yaml").read_bytes()


class EventSchema(msgspec.Struct, frozen=True, kw_only=True):
    """An event version and where its JSON Schema is."""

    type: str
    path: str


class EventSchemaPage(msgspec.Struct, frozen=True, kw_only=True):
    """All of them by type."""

    items: list[EventSchema]


@router.get("/v1/schemas", summary="All event versions", **operation(ok={200: content(EventSchemaPage)}))
async def schemas(_: Annotated[QueryModel, Query()]) -> Response:
    """Every type that facts and signals can have, old versions included."""
    items = [EventSchema(type=type_, path=f"/v1/schemas/{type_}") for type_ in sorted(_schemas())]
    return replies.json(EventSchemaPage(items=items))


@router.get("/v1/schemas/{type}", summary="JSON Schema of an event version", **operation(ok={200: _SCHEMA}))
async def schema(type: Annotated[str, Path(max_length=200)], _: Annotated[QueryModel, Query()]) -> Response:  # noqa: A002 -- the CloudEvents word
    """The whole CloudEvent, draft 2020-12, in one document."""
    found = _schemas().get(type)
    if found is None:
        raise NotFound("schema_not_found", f"There is no event type {type[:80]!r}; /v1/schemas has them all.")
    return replies.raw(found, media_type=SCHEMA_TYPE)


@cache
def _schemas() -> dict[str, bytes]:
    folder = files("trialbook_gateway").joinpath("event_schemas")
    return {entry.name.removesuffix(".json"): entry.read_bytes() for entry in folder.iterdir()}

"""/v1/datasets and /v1/models: the same routes for both kinds of versioned things."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from trialbook.domain import versioned as domain
from trialbook.errors import Invalid
from trialbook.queries import ItemView, Page
from trialbook_gateway import replies, storing
from trialbook_gateway.api.items import found, item_page, item_view, state_at
from trialbook_gateway.api.strict import StrictRoute
from trialbook_gateway.idempotency import REPLAYED
from trialbook_gateway.openapi import IDEMPOTENCY_PARAMETER, content, operation, ref
from trialbook_gateway.ranges import Download, send_blob
from trialbook_gateway.schemas.base import Dated, DatedQuery, Id, QueryModel
from trialbook_gateway.schemas.items import ItemCreate, ItemListQuery, VersionCreate, VersionQuery
from trialbook_gateway.services import Caller, Services, caller_of
from trialbook_gateway.strictjson import media_type_of, parse, read_json, read_model
from trialbook_gateway.uploads import is_form, receive_form, receive_raw

Kind = storing.Versioned
BINARY = {"schema": {"type": "string", "format": "binary"}}
ANY = {"*/*": BINARY}
FORM = {"schema": {"type": "object", "additionalProperties": {"type": "string", "format": "binary"}}}
Number = Annotated[int, Path(ge=1, le=1 << 31)]


async def _create(request: Request, kind: Kind) -> Response:
    services, caller = await caller_of(request)
    stored = await storing.create(services, caller, request, kind, await read_json(request))
    headers = {
        "Location": f"/v1/{kind}s/{stored.view.id}",
        "ETag": replies.etag(stored.sequence),
        replies.SEQUENCE: str(stored.sequence),
        **({REPLAYED: "true"} if stored.replayed else {}),
    }
    return replies.json(stored.view, 201, headers)


async def _version_of(request: Request, services: Services, caller: Caller, name: str) -> domain.AddVersion:
    """A version from JSON (references), multipart (files) or a raw body (one file)."""
    if media_type_of(request) == "application/json" and not name:
        return await storing.version_of(services, caller, await read_model(request, VersionCreate))
    metadata: dict[str, Any] = {}
    if is_form(request):
        received, fields = await receive_form(request, services)
        given = parse(fields["metadata"].encode()) if "metadata" in fields else {}
        if not isinstance(given, dict):
            raise Invalid("invalid_metadata", "The field metadata must be a JSON object.")
        metadata = given
    else:
        received = [await receive_raw(request, services, name)]
    files = {r.name: domain.Content(sha256=r.sha256, size=r.size, media_type=r.media_type) for r in received}
    if len(files) != len(received):
        raise Invalid("duplicate_file_name", "Two files of one version have the same name; give each its own.")
    return domain.AddVersion(files=files, metadata=metadata)


async def _add_version(request: Request, kind: Kind, item: str, name: str) -> Response:
    services, caller = await caller_of(request)
    aggregate, _ = await found(services, caller, kind, item)
    command = await _version_of(request, services, caller, name)
    added = await storing.add(services, caller, request, aggregate, command)
    headers = {
        "Location": f"/v1/{kind}s/{aggregate.id}/versions/{added.version.number}",
        "ETag": replies.etag(added.sequence),
        replies.SEQUENCE: str(added.sequence),
        **({REPLAYED: "true"} if added.replayed else {}),
    }
    return replies.json(added.version, 201, headers)


async def _version(request: Request, kind: Kind, item: str, number: int, as_of: str) -> domain.Version:
    return storing.numbered(kind, await state_at(request, kind, item, as_of), number)


async def _delete(request: Request, kind: Kind, item: str) -> Response:
    services, caller = await caller_of(request)
    sequence = await storing.delete(services, caller, kind, item)
    return Response(None, 204, {replies.SEQUENCE: str(sequence)})


def versioned_router(kind: Kind) -> APIRouter:
    """All routes of one kind."""
    router = APIRouter(prefix=f"/v1/{kind}s", tags=[f"{kind}s"], route_class=StrictRoute)

    @router.post(
        "",
        summary=f"Register a {kind}",
        **operation(ok={201: content(ItemView)}, errors=(409,), body=ItemCreate, parameters=(IDEMPOTENCY_PARAMETER,)),
    )
    async def create(request: Request, _: Annotated[QueryModel, Query()]) -> Response:
        return await _create(request, kind)

    @router.get("", summary=f"List {kind}s", **operation(ok={200: content(Page)}))
    async def index(request: Request, query: Annotated[ItemListQuery, Query()]) -> Response:
        return await item_page(request, kind, query)

    @router.get("/{item}", summary=f"Read a {kind}", **operation(ok={200: content(ItemView), 304: None}))
    async def read(request: Request, item: Id, query: Annotated[Dated, Query()]) -> Response:
        return await item_view(request, kind, item, query)

    @router.delete("/{item}", summary=f"Delete a {kind}", **operation(ok={204: None}))
    async def delete(request: Request, item: Id, _: Annotated[QueryModel, Query()]) -> Response:
        return await _delete(request, kind, item)

    _version_routes(router, kind)
    return router


def _version_routes(router: APIRouter, kind: Kind) -> None:
    bodies = {
        "application/json": {"schema": ref(VersionCreate)},
        "multipart/form-data": FORM,
        "application/octet-stream": BINARY,
    }

    @router.post(
        "/{item}/versions",
        summary="Add a version",
        **operation(
            ok={201: content(domain.Version)}, errors=(409,), bodies=bodies, parameters=(IDEMPOTENCY_PARAMETER,)
        ),
    )
    async def add(request: Request, item: Id, query: Annotated[VersionQuery, Query()]) -> Response:
        return await _add_version(request, kind, item, query.name)

    @router.get("/{item}/versions", summary="List versions", **operation(ok={200: content(Page)}))
    async def versions(request: Request, item: Id, query: Annotated[DatedQuery, Query()]) -> Response:
        state = await state_at(request, kind, item, query.as_of)
        return replies.json(Page(items=list(state.versions)))

    @router.get("/{item}/versions/{number}", summary="Read a version", **operation(ok={200: content(domain.Version)}))
    async def version(request: Request, item: Id, number: Number, query: Annotated[DatedQuery, Query()]) -> Response:
        return replies.json(await _version(request, kind, item, number, query.as_of))

    @router.get(
        "/{item}/versions/{number}/files/{name}",
        summary="Download a file of a version",
        **operation(ok={200: ANY, 206: ANY, 304: None}, errors=(416,)),
    )
    async def download(
        request: Request, item: Id, number: Number, name: str, query: Annotated[DatedQuery, Query()]
    ) -> Response:
        services, _caller = await caller_of(request)
        file = storing.file_of(await _version(request, kind, item, number, query.as_of), name)
        what = Download(sha256=file.sha256, size=file.size, media_type=file.media_type, name=name)
        return await send_blob(request, services.blobs, what)

"""/v1/datasets and /v1/models: the same routes for both kinds of versioned things."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from trialbook.domain import names
from trialbook.domain import versioned as domain
from trialbook.envelope import AggregateId
from trialbook.errors import Invalid, NotFound
from trialbook.handle import fresh
from trialbook.queries import ItemView, Page
from trialbook_gateway import replies
from trialbook_gateway.api.items import item_page, item_view, live_state, state_at, view_of
from trialbook_gateway.api.strict import StrictRoute
from trialbook_gateway.belongings import may_refer_to
from trialbook_gateway.idempotency import REPLAYED, Idempotency, command_id, identify, same_request
from trialbook_gateway.openapi import IDEMPOTENCY_PARAMETER, content, operation, ref
from trialbook_gateway.ordering import name_aggregate
from trialbook_gateway.ranges import Download, send_blob
from trialbook_gateway.schemas.base import Dated, DatedQuery, Id, QueryModel
from trialbook_gateway.schemas.items import ItemCreate, ItemListQuery, VersionCreate, VersionQuery
from trialbook_gateway.services import Caller, Services, caller_of
from trialbook_gateway.strictjson import into, media_type_of, parse, read_json, read_model
from trialbook_gateway.uploads import is_form, receive_form, receive_raw
from trialbook_gateway.versions import add_version

Kind = Literal["dataset", "model"]
BINARY = {"schema": {"type": "string", "format": "binary"}}
ANY = {"*/*": BINARY}
FORM = {"schema": {"type": "object", "additionalProperties": {"type": "string", "format": "binary"}}}
Number = Annotated[int, Path(ge=1, le=1 << 31)]


async def _create(request: Request, kind: Kind) -> Response:
    services, caller = await caller_of(request)
    body = await read_json(request)
    order = into(ItemCreate, body)
    asked = identify(request, caller.workspace, caller.principal.actor, f"{kind}s.create", body, services.ids.new())
    aggregate = caller.aggregate(kind, asked.id)
    if asked.keyed and (again := await _created(services, aggregate, asked)) is not None:
        return again
    owner = name_aggregate(caller.workspace, kind, order.name)
    create = domain.Create(
        name=order.name, description=order.description, kind=order.kind, labels=order.labels,
        command_id=asked.command_id, digest=asked.digest,
    )  # fmt: skip
    claim = names.Claim(scope=kind, name=order.name, owner=asked.id)
    outcome, _ = await services.handler.handle_all(
        [(aggregate, create), (owner, claim)], caller.meta, {aggregate: fresh(kind), owner: fresh("name")}
    )
    if not outcome.facts:  # a twin of this request was quicker
        again = await _created(services, aggregate, asked)
        assert again is not None, "a creation without facts was carried out before"
        return again
    services.wrote(aggregate, outcome.sequence)
    headers = _headers(aggregate, outcome.sequence)
    return replies.json(view_of(aggregate, outcome.sequence, outcome.state), 201, headers)


def _headers(aggregate: AggregateId, sequence: int) -> dict[str, str]:
    return {
        "Location": f"/v1/{aggregate.kind}s/{aggregate.id}",
        "ETag": replies.etag(sequence),
        replies.SEQUENCE: str(sequence),
    }


async def _created(services: Services, aggregate: AggregateId, asked: Idempotency) -> Response | None:
    """The first reply again, when this key was used before. Raises ``Conflict`` (code ``idempotency_key_reused``)."""
    found = await services.handler.load(aggregate)
    if not found.sequence:
        return None
    same_request(found.state.digest, asked, aggregate)
    first = (await services.log.read(aggregate))[0]
    headers = _headers(aggregate, first.sequence) | {REPLAYED: "true"}
    return replies.json(view_of(aggregate, first.sequence, _as_created(found.state)), 201, headers)


def _as_created(state: domain.State) -> domain.State:
    """The state right after creation: a repeated request gets the first reply again."""
    return domain.State(
        exists=True, name=state.name, description=state.description, kind=state.kind, labels=state.labels,
        created_at=state.created_at, command_id=state.command_id, digest=state.digest,
    )  # fmt: skip


async def _stored(services: Services, caller: Caller, files: dict[str, str]) -> dict[str, domain.Content]:
    found: dict[str, domain.Content] = {}
    for name, reference in files.items():
        media_type = "application/octet-stream"
        sha256 = reference
        if len(reference) == 32:
            file = (await services.handler.load(caller.aggregate("file", reference))).state
            sha256, media_type = (file.sha256, file.media_type) if file.exists and not file.deleted else ("", "")
        elif not await may_refer_to(services, caller, reference):
            sha256 = ""
        stored = await services.blobs.stat(sha256) if sha256 else None
        if stored is None:
            raise Invalid("input_not_found", f"File {name!r}: nothing is stored as {reference}; upload it first.")
        found[name] = domain.Content(sha256=sha256, size=stored.size, media_type=media_type)
    return found


async def _version_of(request: Request, services: Services, caller: Caller, name: str) -> domain.AddVersion:
    """A version from JSON (references), multipart (files) or a raw body (one file)."""
    if media_type_of(request) == "application/json" and not name:
        order = await read_model(request, VersionCreate)
        files = await _stored(services, caller, order.files)
        return domain.AddVersion(files=files, metadata=order.metadata, run=order.run or "")
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
        raise Invalid("duplicate_file_name", "Two files of one version have the same name.")
    return domain.AddVersion(files=files, metadata=metadata)


async def _add_version(request: Request, kind: Kind, item: str, name: str) -> Response:
    services, caller = await caller_of(request)
    aggregate, _ = await live_state(request, kind, item)
    command = await _version_of(request, services, caller, name)
    key = command_id(request, caller.workspace, caller.principal.actor, f"{kind}s.versions", aggregate.id)
    added = await add_version(services, caller, aggregate, command, key)
    headers = {
        "Location": f"/v1/{kind}s/{aggregate.id}/versions/{added.version.number}",
        "ETag": replies.etag(added.sequence),
        replies.SEQUENCE: str(added.sequence),
        **({REPLAYED: "true"} if added.replayed else {}),
    }
    return replies.json(added.version, 201, headers)


async def _version(request: Request, kind: Kind, item: str, number: int, as_of: str) -> domain.Version:
    state = await state_at(request, kind, item, as_of)
    if number > len(state.versions):
        raise NotFound("version_not_found", f"This {kind} has {len(state.versions)} versions.")
    found: domain.Version = state.versions[number - 1]
    return found


async def _delete(request: Request, kind: Kind, item: str) -> Response:
    services, caller = await caller_of(request)
    aggregate, state = await live_state(request, kind, item)
    owner = name_aggregate(caller.workspace, kind, state.name)
    orders = [(aggregate, domain.Delete()), (owner, names.Release(owner=aggregate.id))]
    outcome = (await services.handler.handle_all(orders, caller.meta))[0]
    services.wrote(aggregate, outcome.sequence)
    return Response(None, 204, {replies.SEQUENCE: str(outcome.sequence)})


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
        found = (await _version(request, kind, item, number, query.as_of)).files
        if name not in found:
            raise NotFound("file_not_found", f"This version has no file {name[:100]!r}.", known=sorted(found)[:100])
        what = Download(sha256=found[name].sha256, size=found[name].size, media_type=found[name].media_type, name=name)
        return await send_blob(request, services.blobs, what)

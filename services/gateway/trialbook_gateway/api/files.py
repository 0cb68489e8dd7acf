"""/v1/files: uploaded bytes under a name."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from trialbook.queries import ItemView, Page
from trialbook_gateway import replies, storing
from trialbook_gateway.api.items import item_page, item_view, state_at
from trialbook_gateway.api.runs import labels_of
from trialbook_gateway.api.strict import StrictRoute
from trialbook_gateway.idempotency import REPLAYED
from trialbook_gateway.openapi import IDEMPOTENCY_PARAMETER, content, operation
from trialbook_gateway.problems import HttpRefusal
from trialbook_gateway.ranges import Download, send_blob
from trialbook_gateway.schemas.base import Dated, DatedQuery, Id, QueryModel
from trialbook_gateway.schemas.items import ItemListQuery, UploadQuery
from trialbook_gateway.services import caller_of
from trialbook_gateway.uploads import is_form, receive_form, receive_raw

router = APIRouter(prefix="/v1/files", tags=["files"], route_class=StrictRoute)
BINARY = {"schema": {"type": "string", "format": "binary"}}
FORM = {
    "schema": {
        "type": "object",
        "required": ["file"],
        "properties": {"file": {"type": "string", "format": "binary"}},
    }
}
ANY = {"*/*": BINARY}


@router.post(
    "",
    summary="Upload a file",
    **operation(
        ok={201: content(ItemView)}, errors=(409,), parameters=(IDEMPOTENCY_PARAMETER,),
        bodies={"application/octet-stream": BINARY, "multipart/form-data": FORM},
    ),
)  # fmt: skip
async def upload(request: Request, query: Annotated[UploadQuery, Query()]) -> Response:
    """A raw body with ``?name=``, or multipart with one file; checked against a digest header when one is sent."""
    services, caller = await caller_of(request)
    labels = labels_of(query.label)
    if is_form(request):
        received, _ = await receive_form(request, services)
        if len(received) != 1:
            raise HttpRefusal(422, "one_file_expected", "Send one file per request.")
        found = received[0]
    else:
        found = await receive_raw(request, services, query.name)
    asked = storing.identify_file(services, caller, request, found.sha256, found.name, labels)
    stored = await storing.add_file(services, caller, asked, found, labels)
    headers = {
        "Location": f"/v1/files/{stored.view.id}",
        "ETag": replies.etag(stored.sequence),
        replies.SEQUENCE: str(stored.sequence),
        **({REPLAYED: "true"} if stored.replayed else {}),
    }
    return replies.json(stored.view, 201, headers)


@router.get("", summary="List files", **operation(ok={200: content(Page)}))
async def index(request: Request, query: Annotated[ItemListQuery, Query()]) -> Response:
    """In creation order."""
    return await item_page(request, "file", query)


@router.get("/{file}", summary="Read a file's record", **operation(ok={200: content(ItemView), 304: None}))
async def read(request: Request, file: Id, query: Annotated[Dated, Query()]) -> Response:
    """Name, size, sha256 and labels."""
    return await item_view(request, "file", file, query)


@router.get(
    "/{file}/content", summary="Download a file", **operation(ok={200: ANY, 206: ANY, 304: None}, errors=(416,))
)
async def download(request: Request, file: Id, query: Annotated[DatedQuery, Query()]) -> Response:
    """The bytes, whole or one range; the ETag is the sha256."""
    services, _caller = await caller_of(request)
    state = await state_at(request, "file", file, query.as_of)
    what = Download(sha256=state.sha256, size=state.size, media_type=state.media_type, name=state.name)
    return await send_blob(request, services.blobs, what)


@router.delete("/{file}", summary="Delete a file", **operation(ok={204: None}))
async def delete(request: Request, file: Id, _: Annotated[QueryModel, Query()]) -> Response:
    """It is no longer listed; its facts stay."""
    services, caller = await caller_of(request)
    sequence = await storing.delete_file(services, caller, file)
    return Response(None, 204, {replies.SEQUENCE: str(sequence)})

"""Bytes that are read over NATS, a piece at a time: files, artifacts, files of versions, results."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

import msgspec
from pydantic import Field

from trialbook.asking import MEDIA_TYPE
from trialbook.errors import NotFound
from trialbook.ids import parse_id
from trialbook.queries import RunGet
from trialbook_gateway import replies, storing
from trialbook_gateway.api.items import state_in
from trialbook_gateway.api.run_artifacts import Produced, artifact_of, must_have_result
from trialbook_gateway.direct.desk import Answered
from trialbook_gateway.direct.verb import ItemId
from trialbook_gateway.problems import HttpRefusal
from trialbook_gateway.ranges import Download
from trialbook_gateway.schemas.base import SEQUENCE_MAX, AsOf, Body
from trialbook_gateway.services import Caller, Services
from trialbook_gateway.storing import Versioned
from trialbook_gateway.strictjson import into, parse

PIECE_BYTES = 512 * 1024
"""Most that one answer has; with its headers it fits the smallest message that a server must allow."""
SHA256, SIZE = "Trialbook-Sha256", "Trialbook-Size"


class Piece(Body):
    """Bytes from ``start``, at most ``length`` of them."""

    start: Annotated[int, Field(ge=0, le=SEQUENCE_MAX)] = 0
    length: Annotated[int, Field(ge=1, le=PIECE_BYTES)] = PIECE_BYTES
    as_of: AsOf = ""


class FilePiece(Piece):
    """Of an uploaded file."""

    id: ItemId


class VersionPiece(FilePiece):
    """Of a file of a version of a dataset or model."""

    kind: Versioned = "dataset"
    version: Annotated[int, Field(ge=1, le=1 << 31)]
    name: Annotated[str, Field(max_length=255)]


class ArtifactPiece(Piece):
    """Of an artifact of a run."""

    run: ItemId
    name: Annotated[str, Field(max_length=1000)]


class ResultPiece(Piece):
    """Of what a workload returned, as JSON."""

    run: ItemId


async def _file(services: Services, caller: Caller, body: object) -> Answered:
    order = into(FilePiece, body)
    state = await state_in(services, caller, "file", order.id, order.as_of)
    what = Download(sha256=state.sha256, size=state.size, media_type=state.media_type, name=state.name)
    return await _piece(services, what, order)


async def _version(services: Services, caller: Caller, body: object) -> Answered:
    order = into(VersionPiece, body)
    state = await state_in(services, caller, order.kind, order.id, order.as_of)
    found = storing.file_of(storing.numbered(order.kind, state, order.version), order.name)
    what = Download(sha256=found.sha256, size=found.size, media_type=found.media_type, name=order.name)
    return await _piece(services, what, order)


async def _artifact(services: Services, caller: Caller, body: object) -> Answered:
    order = into(ArtifactPiece, body)
    found = artifact_of(await _produced(services, caller, order.run, order.as_of), order.name)
    what = Download(sha256=found.sha256, size=found.size, media_type=found.media_type, name=order.name)
    return await _piece(services, what, order)


async def _result(services: Services, caller: Caller, body: object) -> Answered:
    order = into(ResultPiece, body)
    found = await _produced(services, caller, order.run, order.as_of)
    must_have_result(found)
    if found.result_blob is None:
        inline = bytes(found.result)
        end = _end(order, len(inline))
        return Answered(inline[order.start : end], {MEDIA_TYPE: replies.JSON, SIZE: str(len(inline))})
    stored = await services.blobs.stat(found.result_blob)
    size = stored.size if stored is not None else 0
    what = Download(sha256=found.result_blob, size=size, media_type=replies.JSON, name="result.json")
    return await _piece(services, what, order)


async def _produced(services: Services, caller: Caller, run: str, as_of: str) -> Produced:
    id_ = parse_id(run, "run id")
    question = RunGet(id=id_, at_least=services.seen_by(caller, "run", id_, 0), as_of=as_of)
    answer = await services.ask.ask(caller.workspace, question, services.settings.ask_timeout_s)
    return msgspec.json.decode(replies.result_of(answer), type=Produced)


async def _piece(services: Services, what: Download, order: Piece) -> Answered:
    if await services.blobs.stat(what.sha256) is None:
        raise NotFound("blob_not_found", f"The bytes {what.sha256} are not stored any more.")
    end = _end(order, what.size)
    chunks = [chunk async for chunk in services.blobs.get(what.sha256, order.start, end)]
    headers = {MEDIA_TYPE: what.media_type, SHA256: what.sha256, SIZE: str(what.size)}
    return Answered(b"".join(chunks), headers)


def _end(order: Piece, size: int) -> int:
    if order.start >= size and order.start:
        raise HttpRefusal(416, "range_not_satisfiable", f"There are {size} bytes; ask for a part of those.", size=size)
    return min(order.start + order.length, size)


class Content(msgspec.Struct, frozen=True):
    """A question that is answered with bytes: what answers it, and the model of its body."""

    answer: Callable[[Services, Caller, object], Awaitable[Answered]]
    body: type[Piece]


CONTENT: dict[str, Content] = {
    "content.file": Content(_file, FilePiece),
    "content.version": Content(_version, VersionPiece),
    "content.artifact": Content(_artifact, ArtifactPiece),
    "content.result": Content(_result, ResultPiece),
}


async def content(services: Services, caller: Caller, name: str, data: bytes) -> Answered:
    """The piece asked for. Raises what HTTP would refuse."""
    services.must_be_intact()
    body = parse(data or b"{}")
    looks_back = isinstance(body, dict) and bool(body.get("as_of"))
    await services.workspaces.require(caller.workspace, deleted=looks_back)
    return await CONTENT[name].answer(services, caller, body)

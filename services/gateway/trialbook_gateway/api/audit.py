"""/v1/ledger: the ledger's tree, its checkpoints and proofs. Nothing here but hashes and signatures.

State and latest checkpoint are for everybody who may ask at all, and so are proofs of facts of one's own workspaces;
the rest is for tokens that open all workspaces.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from trialbook import proofs
from trialbook.audit import notes
from trialbook.errors import Forbidden, NotFound
from trialbook.log.api import ApiError, call
from trialbook.log.checkpoints import note_page
from trialbook.queries import Query as Question
from trialbook.streams import FACTS
from trialbook_gateway import replies, witnessing
from trialbook_gateway.api.strict import StrictRoute
from trialbook_gateway.openapi import content, operation
from trialbook_gateway.schemas.audit import CheckpointsQuery, ConsistencyQuery, InclusionQuery
from trialbook_gateway.schemas.base import QueryModel
from trialbook_gateway.services import Caller, Services, services_of

router = APIRouter(prefix="/v1/ledger", tags=["ledger"], route_class=StrictRoute)
NOTE = "text/plain; charset=utf-8"
OCTETS = "application/octet-stream"
EVERYWHERE = "_"
NO_MESSAGE = 10037
IMMUTABLE = {"Cache-Control": "private, max-age=31536000, immutable"}
FRESH = {"Cache-Control": "no-cache"}
_TEXT = {"text/plain": {"schema": {"type": "string"}}}
_BYTES = {OCTETS: {"schema": {"type": "string", "format": "binary"}}}


class LedgerView(msgspec.Struct, frozen=True, kw_only=True):
    """The ledger's state as the projector that answered knows it, and the latest checkpoint."""

    ledger: proofs.LedgerInfo
    checkpoint: proofs.NoteView | None
    witnesses: list[str]
    """Public keys of the witnesses whose cosignatures are taken."""


class CheckpointPage(msgspec.Struct, frozen=True, kw_only=True):
    """Notes in the order in which they were appended."""

    items: list[proofs.NoteView]
    next_cursor: str | None


async def _asked(services: Services, query: Question) -> bytes:
    return replies.result_of(await services.ask.ask(EVERYWHERE, query, services.settings.ask_timeout_s))


async def _everywhere(request: Request) -> tuple[Services, Caller]:
    """The caller of what concerns all workspaces. Raises ``Forbidden``."""
    services = services_of(request)
    caller = services.anywhere(request)
    if caller.principal.workspaces is not None:
        raise Forbidden(
            "ledger_forbidden",
            "This concerns the whole ledger; it takes a token without a list of workspaces.",
        )
    return services, caller


@router.get("", summary="The ledger's tree and whether it holds", **operation(ok={200: content(LedgerView)}))
async def state(request: Request, _: Annotated[QueryModel, Query()]) -> Response:
    """Size, root, latest checkpoint, state of the verification, findings, public keys."""
    services = services_of(request)
    info = msgspec.json.decode(await _asked(services, proofs.LedgerState()), type=proofs.LedgerInfo)
    checkpoint: proofs.NoteView | None = None
    try:
        checkpoint = msgspec.json.decode(await _asked(services, proofs.LedgerCheckpoint()), type=proofs.NoteView)
    except NotFound:
        checkpoint = None
    keys = [key.text for key in services.settings.witness_keys]
    return replies.json(LedgerView(ledger=info, checkpoint=checkpoint, witnesses=keys), headers=FRESH)


@router.get("/checkpoint", summary="The latest checkpoint", **operation(ok={200: _TEXT}))
async def latest(request: Request, _: Annotated[QueryModel, Query()]) -> Response:
    """A signed note (C2SP tlog-checkpoint), with all its cosignatures."""
    return await _note(services_of(request), proofs.LedgerCheckpoint())


@router.post("/checkpoints", summary="Sign a checkpoint now", **operation(ok={201: _TEXT}))
async def sign(request: Request, _: Annotated[QueryModel, Query()]) -> Response:
    """A checkpoint over everything that is in the ledger now; the latest one when that is signed already."""
    services, _caller = await _everywhere(request)
    return await _note(services, proofs.LedgerCheckpoint(now=True), 201)


async def _note(services: Services, query: proofs.LedgerCheckpoint, status: int = 200) -> Response:
    view = msgspec.json.decode(await _asked(services, query), type=proofs.NoteView)
    return replies.raw(view.note.encode(), status, FRESH, NOTE)


@router.get("/checkpoints", summary="All checkpoints", **operation(ok={200: content(CheckpointPage)}))
async def checkpoints(request: Request, query: Annotated[CheckpointsQuery, Query()]) -> Response:
    """A page of signed notes; notes that name a new key, and cosigned copies, are among them."""
    services, _caller = await _everywhere(request)
    page, more = await note_page(services.nc, query.after, query.limit)
    items = [witnessing.note_view(note.data, note.sequence) for note in page]
    cursor = str(page[-1].sequence) if more and page else None
    return replies.json(CheckpointPage(items=items, next_cursor=cursor), headers=FRESH)


@router.get(
    "/proofs/inclusion",
    summary="Proof that a fact is in the tree",
    **operation(ok={200: content(proofs.InclusionProof)}),
)
async def inclusion(request: Request, query: Annotated[InclusionQuery, Query()]) -> Response:
    """The audit path (RFC 6962) from the fact's leaf hash to the head of the tree."""
    services = services_of(request)
    await _may_prove(services, services.anywhere(request), query.sequence)
    await services.ask.must_exist(max(query.sequence, query.size))
    asked = proofs.LedgerInclusion(sequence=query.sequence, size=query.size)
    return replies.raw(await _asked(services, asked))


@router.get(
    "/proofs/consistency",
    summary="Proof that the tree has only grown",
    **operation(ok={200: content(proofs.ConsistencyProof)}),
)
async def consistency(request: Request, query: Annotated[ConsistencyQuery, Query()]) -> Response:
    """The proof (RFC 6962) that the tree of ``first`` facts is the beginning of that of ``second``."""
    services, _caller = await _everywhere(request)
    await services.ask.must_exist(max(query.first, query.second))
    return replies.raw(await _asked(services, proofs.LedgerConsistency(first=query.first, second=query.second)))


@router.get("/tile/{path:path}", summary="A tile of the tree", **operation(ok={200: _BYTES}))
async def tile(request: Request, path: str, _: Annotated[QueryModel, Query()]) -> Response:
    """256 hashes, or as many as the path says (C2SP tlog-tiles)."""
    services, _caller = await _everywhere(request)
    question = proofs.LedgerTile(path=path)
    body, media_type = await services.ask.ask_bytes(EVERYWHERE, question, services.settings.ask_timeout_s)
    return replies.raw(body, headers=IMMUTABLE, media_type=media_type)


@router.post(
    "/cosignatures",
    summary="Add a witness's signature",
    **operation(ok={201: _TEXT}, errors=(409,), bodies={"text/plain": {"schema": {"type": "string"}}}),
)
async def cosign(request: Request, _: Annotated[QueryModel, Query()]) -> Response:
    """The latest checkpoint with a cosignature of a known witness in, that checkpoint with all its signatures out."""
    services, _caller = await _everywhere(request)
    data = await request.body()
    view = msgspec.json.decode(await _asked(services, proofs.LedgerCheckpoint()), type=proofs.NoteView)
    note = witnessing.accepted(data, notes.parse(view.note.encode()), services.settings.witness_keys)
    await witnessing.append(services.nc, view.origin, note)
    return replies.raw(note.encode(), 201, media_type=NOTE)


async def _may_prove(services: Services, caller: Caller, sequence: int) -> None:
    """A limited token proves facts of its own workspaces only. Raises ``Forbidden``."""
    workspaces = caller.principal.workspaces
    if workspaces is None:
        return
    try:
        found = await call(services.nc, f"STREAM.MSG.GET.{FACTS}", {"seq": sequence})
    except ApiError as error:
        if error.code != NO_MESSAGE:
            raise
        raise Forbidden("ledger_forbidden", f"Fact {sequence} is of none of this token's workspaces.") from None
    if found["message"]["subject"].split(".")[1] not in workspaces:
        raise Forbidden("ledger_forbidden", f"Fact {sequence} is of none of this token's workspaces.")

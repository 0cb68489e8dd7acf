"""Answers to the questions of ``trialbook.proofs``."""

from __future__ import annotations

import asyncio
from typing import Any

from trialbook.audit import merkle, tiles
from trialbook.audit.checkpoint import Checkpoint, parse_text
from trialbook.audit.notes import parse
from trialbook.errors import Invalid, NotFound
from trialbook.proofs import (
    ConsistencyProof,
    InclusionProof,
    LedgerCheckpoint,
    LedgerConsistency,
    LedgerInclusion,
    LedgerInfo,
    LedgerManifest,
    LedgerState,
    LedgerTile,
    NoteView,
    SignedManifest,
)
from trialbook.queries import Query
from trialbook_projector.ledger.service import Ledger
from trialbook_projector.times import text_of

OCTETS = "application/octet-stream"


async def answer(ledger: Ledger, query: Query) -> Any:
    """The answer as a struct, or the bytes of a tile. Raises refusals."""
    match query:
        case LedgerState():
            return await state(ledger)
        case LedgerCheckpoint():
            data = await ledger.checkpoint() if query.now else await _newest(ledger)
            return view(data, ledger.checkpoints.sequence)
        case LedgerInclusion():
            return await _inclusion(ledger, query)
        case LedgerConsistency():
            return await _consistency(ledger, query)
        case LedgerManifest():
            note, key = await ledger.sign_manifest(query.sha256, query.size)
            return SignedManifest(note=note.decode(), key=key.text)
        case LedgerTile():
            return await _tile(ledger, query.path)
    raise Invalid("unknown_query", f"{query.NAME} is no question about the ledger.")


async def state(ledger: Ledger) -> LedgerInfo:
    """The state with the head of the tree now."""
    size = ledger.files.size
    head = await asyncio.to_thread(ledger.files.head, size)
    ledger.watch.set(size=size, root=head.hex())
    return ledger.watch.info


def view(data: bytes, sequence: int) -> NoteView:
    """A stored note for readers. Raises ``NotFound`` when there is none."""
    if not data:
        raise NotFound("no_checkpoint", "No checkpoint has been signed yet; is a key configured?")
    note = parse(data)
    said = parse_text(note.text)
    assert isinstance(said, Checkpoint), "a chain's note is a checkpoint"
    return NoteView(
        note=data.decode(), origin=said.origin, size=said.size, root=said.root.hex(), sequence=sequence,
        time=text_of(said.time_s * 1_000_000) if said.time_s else "", signatures=[one.name for one in note.signatures],
    )  # fmt: skip


async def _newest(ledger: Ledger) -> bytes:
    await ledger.checkpoints.catch_up()
    return ledger.checkpoints.note


async def _inclusion(ledger: Ledger, query: LedgerInclusion) -> InclusionProof:
    size = query.size or max(ledger.files.size, query.sequence)
    if not 1 <= query.sequence <= size:
        raise Invalid("invalid_proof", f"Fact {query.sequence} is not among the first {size}.")
    await ledger.reach(size)

    def prove() -> InclusionProof:
        tree = ledger.files.tree(size)
        leaf = ledger.files.span(query.sequence, query.sequence)
        path = merkle.inclusion(query.sequence - 1, size, tree)
        root = merkle.head_at(size, tree)
        return InclusionProof(
            sequence=query.sequence, size=size, leaf=leaf.hex(), root=root.hex(), path=[part.hex() for part in path]
        )

    return await asyncio.to_thread(prove)


async def _consistency(ledger: Ledger, query: LedgerConsistency) -> ConsistencyProof:
    second = query.second or max(ledger.files.size, query.first)
    if not 0 <= query.first <= second:
        raise Invalid("invalid_proof", f"A tree of {query.first} facts is no beginning of one of {second}.")
    await ledger.reach(second)

    def prove() -> ConsistencyProof:
        tree = ledger.files.tree(second)
        path = merkle.consistency(query.first, second, tree)
        return ConsistencyProof(
            first=query.first, second=second, first_root=ledger.files.head(query.first).hex(),
            second_root=merkle.head_at(second, tree).hex(), path=[part.hex() for part in path],
        )  # fmt: skip

    return await asyncio.to_thread(prove)


async def _tile(ledger: Ledger, path: str) -> bytes:
    try:
        return await asyncio.to_thread(ledger.files.read, tiles.parse(path))
    except ValueError as error:
        raise Invalid("invalid_tile", f"{error}.") from None
    except LookupError as error:
        raise NotFound("tile_not_found", f"{error}.") from None

"""The ledger's proof: its state, checkpoints, and proofs by which anybody can check them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import msgspec

from trialbook.client.resource import Resource
from trialbook.proofs import ConsistencyProof, InclusionProof, NoteView

PATH = "/v1/ledger"
PAGE = 1000
TEXT = {"Accept": "text/plain"}


class _Page(msgspec.Struct, frozen=True):
    items: list[NoteView]
    next_cursor: str | None = None


class Proofs(Resource):
    """Hashes and signatures only; nothing here shows what a fact says."""

    async def state(self) -> dict[str, Any]:
        """``ledger`` (see ``trialbook.proofs.LedgerInfo``), the latest ``checkpoint``, and the ``witnesses``' keys."""
        return await self._transport.get(PATH, dict[str, Any], consistent=False)

    async def checkpoint(self, *, now: bool = False) -> str:
        """The latest checkpoint, a signed note; with ``now`` one over everything that is there."""
        if now:
            return (await self._transport.send("POST", f"{PATH}/checkpoints", headers=TEXT, repeat=True)).text
        return (await self._transport.send("GET", f"{PATH}/checkpoint", headers=TEXT)).text

    async def checkpoints(self, after: int = 0) -> AsyncIterator[NoteView]:
        """Every note after a place, in the order in which they were appended; names of new keys are among them."""
        more = True
        while more:
            query = {"after": after, "limit": PAGE}
            page = await self._transport.get(f"{PATH}/checkpoints", _Page, query, consistent=False)
            for note in page.items:
                after = note.sequence
                yield note
            more = page.next_cursor is not None

    async def inclusion(self, sequence: int, size: int = 0) -> InclusionProof:
        """Proof that a fact is in the tree of ``size`` facts (0: the present one)."""
        query = {"sequence": sequence, "size": size}
        return await self._transport.get(f"{PATH}/proofs/inclusion", InclusionProof, query, consistent=False)

    async def consistency(self, first: int, second: int = 0) -> ConsistencyProof:
        """Proof that the tree of ``first`` facts is the beginning of that of ``second`` (0: the present one)."""
        query = {"first": first, "second": second}
        return await self._transport.get(f"{PATH}/proofs/consistency", ConsistencyProof, query, consistent=False)

    async def tile(self, path: str) -> bytes:
        """The hashes of a tile, by its path."""
        reply = await self._transport.send("GET", f"{PATH}/tile/{quote(path)}", headers={"Accept": "*/*"})
        return reply.content

    async def cosign(self, note: bytes) -> str:
        """Hand in a cosigned checkpoint; returns it with all its signatures."""
        headers = {"Content-Type": "text/plain", "Accept": "text/plain"}
        reply = await self._transport.send("POST", f"{PATH}/cosignatures", content=lambda: note, headers=headers)
        return reply.text

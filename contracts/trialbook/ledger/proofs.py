"""Inclusion proofs for an extract: that its facts stand in the ledger whose checkpoint was signed, though others are
left out.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
from collections.abc import AsyncIterator, Iterator, Sequence
from hashlib import sha256

import msgspec

from trialbook.audit import merkle
from trialbook.audit.checkpoint import Checkpoint, parse_text
from trialbook.audit.leaf import leaf_hash, leaf_hashes
from trialbook.audit.notes import InvalidNote, parse
from trialbook.ledger.manifest import Manifest, read_part
from trialbook.ledger.segments import Damaged
from trialbook.ledger.storage import SegmentStorage
from trialbook.log.tail import Message
from trialbook.streams import CHECKPOINTS, FACTS

PROOFS = "proofs.ndjson.gz"


class Proof(msgspec.Struct, frozen=True):
    """The audit path (RFC 6962, base64) of one fact in the tree of ``size`` facts; its leaf is ``sequence - 1``."""

    sequence: int
    size: int
    path: list[str]


class Leaves:
    """Heads of all complete subtrees over leaf hashes, 64 bytes for each leaf."""

    def __init__(self) -> None:
        self._levels: list[bytearray] = [bytearray()]

    @property
    def size(self) -> int:
        """How many leaves there are."""
        return len(self._levels[0]) // merkle.SIZE

    def extend(self, leaves: Sequence[bytes]) -> None:
        """Add leaf hashes in order."""
        self._levels[0] += b"".join(leaves)
        width, height = merkle.SIZE, 0
        while len(self._levels[height]) >= 2 * width:
            if height + 1 == len(self._levels):
                self._levels.append(bytearray())
            below, above = self._levels[height], self._levels[height + 1]
            for start in range(2 * len(above), len(below) - 2 * width + 1, 2 * width):
                above += sha256(b"\1" + below[start : start + 2 * width]).digest()
            height += 1

    def subtree(self, height: int, index: int) -> bytes:
        """See ``merkle.Subtree``."""
        return bytes(self._levels[height][index * merkle.SIZE : (index + 1) * merkle.SIZE])


class Proving:
    """Proofs for the facts of an extract, which has been written but for them."""

    def __init__(self, target: SegmentStorage, manifest: Manifest) -> None:
        self._target, self._manifest = target, manifest
        self._leaves = Leaves()
        self.size = 0
        """How many facts from the ledger's beginning are needed."""

    @property
    def taken(self) -> int:
        """How many have come."""
        return self._leaves.size

    async def begin(self) -> bool:
        """Find the newest checkpoint; False when there is none, and nothing to prove anything with."""
        newest = None
        async for checkpoint in checkpoints(self._target, self._manifest):
            if newest is None or checkpoint.size > newest.size:
                newest = checkpoint
        if newest is None:
            return False
        self.size, self._root = newest.size, newest.root
        self._manifest.origin = newest.origin
        return True

    async def take(self, batch: Sequence[Message]) -> None:
        """The next facts of the whole ledger."""
        self._leaves.extend(await asyncio.to_thread(leaf_hashes, [(m.sequence, m.subject, m.data) for m in batch]))

    async def write(self) -> None:
        """Write the proofs of all facts of the extract that the checkpoint covers."""
        if merkle.head_at(self.size, self._leaves.subtree) != self._root:
            raise Damaged(f"the first {self.size} facts are not those that the checkpoint was signed for")
        lines: list[bytes] = []
        async for batch in read_part(self._target, self._manifest, FACTS):
            lines += [msgspec.json.encode(proof) for proof in self._proofs(batch)]
        content = gzip.compress(b"\n".join((*lines, b"")), mtime=0)
        await self._target.put(PROOFS, content)
        self._manifest.files[PROOFS] = hashlib.sha256(content).hexdigest()

    def _proofs(self, batch: Sequence[Message]) -> Iterator[Proof]:
        for message in batch:
            if message.sequence <= self.size:
                path = merkle.inclusion(message.sequence - 1, self.size, self._leaves.subtree)
                yield Proof(message.sequence, self.size, [base64.b64encode(part).decode() for part in path])


async def checkpoints(storage: SegmentStorage, manifest: Manifest) -> AsyncIterator[Checkpoint]:
    """What the notes of an export say, whoever signed them; notes that say something else are passed over."""
    async for batch in read_part(storage, manifest, CHECKPOINTS):
        for message in batch:
            try:
                said = parse_text(parse(message.data).text)
            except InvalidNote:
                continue
            if isinstance(said, Checkpoint):
                yield said


async def unproven(storage: SegmentStorage, manifest: Manifest, trusted: Checkpoint) -> list[int]:
    """Sequences of facts of an extract that are not proven to stand in the ledger of a checkpoint that is trusted.

    Facts after the checkpoint are among them. Raises ``Damaged`` for files that are not those of the manifest.
    """
    content = await storage.get(PROOFS)
    if hashlib.sha256(content).hexdigest() != manifest.files.get(PROOFS):
        raise Damaged(f"{PROOFS} is not the file that the manifest names")
    proofs = {
        proof.sequence: proof
        for proof in (msgspec.json.decode(line, type=Proof) for line in gzip.decompress(content).split(b"\n") if line)
    }
    bad: list[int] = []
    async for batch in read_part(storage, manifest, FACTS):
        for message in batch:
            proof = proofs.get(message.sequence)
            if proof is None or proof.size != trusted.size or not _holds(message, proof, trusted.root):
                bad.append(message.sequence)
    return bad


def _holds(message: Message, proof: Proof, root: bytes) -> bool:
    leaf = leaf_hash(message.sequence, message.subject, message.data)
    path = [base64.b64decode(part) for part in proof.path]
    return merkle.verify_inclusion(leaf, message.sequence - 1, proof.size, path, root)

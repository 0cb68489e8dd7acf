"""Write segments of facts, read them back, and let their manifest be the one that counts."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator

import msgspec

from trialbook.ledger import manifest as manifests
from trialbook.ledger.manifest import Manifest, Part, segment_name
from trialbook.ledger.segments import SEGMENT_BYTES, SEGMENT_MESSAGES, Damaged, Segment, messages_of, segment_of
from trialbook.ledger.storage import SegmentStorage
from trialbook.log.purged import Boundary
from trialbook.log.tail import Message
from trialbook.streams import FACTS
from trialbook_projector import segments_parquet
from trialbook_projector.segments import root_of

log = logging.getLogger(__name__)
FOLDER = "sealed/facts"


async def cut(batches: AsyncIterator[list[Message]]) -> AsyncIterator[list[Message]]:
    """Facts in the portions of segments: to a multiple of ``SEGMENT_MESSAGES``, or less when they are large.

    Portions of full length are complete subtrees of the ledger's Merkle tree.
    """
    portion: list[Message] = []
    size = 0
    async for batch in batches:
        for message in batch:
            portion.append(message)
            size += len(message.data)
            if message.sequence % SEGMENT_MESSAGES == 0 or size >= SEGMENT_BYTES:
                yield portion
                portion, size = [], 0
    if portion:
        yield portion


async def write_segment(storage: SegmentStorage, messages: list[Message], now: str) -> Segment:
    """Write facts as NDJSON and Parquet, read both back. Raises ``Damaged`` when they are not what was written."""
    name = segment_name(FOLDER, messages[0].sequence, messages[-1].sequence)
    root = await asyncio.to_thread(root_of, messages)
    segment, content = await asyncio.to_thread(segment_of, messages, name, now, root)
    table = await asyncio.to_thread(segments_parquet.table_of, messages)
    parquet = name.removesuffix(".ndjson.gz") + ".parquet"
    await storage.put(parquet, table)
    await storage.put(name, content)
    segment = msgspec.structs.replace(segment, parquet=parquet, parquet_sha256=hashlib.sha256(table).hexdigest())
    back = await asyncio.to_thread(messages_of, segment, await storage.get(name))
    if [_key(m) for m in back] != [_key(m) for m in messages] or await asyncio.to_thread(root_of, back) != root:
        raise Damaged(f"segment {name} does not give back what was written")
    if hashlib.sha256(await storage.get(parquet)).hexdigest() != segment.parquet_sha256:
        raise Damaged(f"{parquet} does not give back what was written")
    return segment


async def write_manifest(storage: SegmentStorage, before: Manifest | None, new: list[Segment], now: str) -> Boundary:
    """Write the manifest of all segments to the last of ``new``, and give the boundary that names it."""
    segments = [*(before.streams[FACTS].segments if before else []), *new]
    position = 0
    for segment in segments:
        if segment.first != position + 1 or not segment.whole:
            raise Damaged(f"segment {segment.name} does not follow fact {position} without a gap")
        position = segment.last
    manifest = Manifest(
        kind="seal", origin=before.origin if before else "", created_at=now, complete=True,
        formats=["ndjson", "parquet"], streams={FACTS: Part(first=1, last=position, segments=segments)},
    )  # fmt: skip
    content = manifests.encode(manifest)
    name = manifests.sealed_name(position)
    await storage.put(name, content)
    boundary = Boundary(position, hashlib.sha256(content).hexdigest())
    await manifests.load_sealed(storage, boundary.sequence, boundary.manifest)
    log.info("sealed to=%d segments=%d", position, len(new))
    return boundary


async def forget_manifests(storage: SegmentStorage, before: int) -> None:
    """Delete the manifests of boundaries below ``before``, which nobody follows any more."""
    for name in await storage.names(FOLDER.rpartition("/")[0] + "/"):
        if manifests.sealed_name(0) <= name < manifests.sealed_name(before):
            await storage.delete(name)


def _key(message: Message) -> tuple[int, str, bytes, int]:
    return message.sequence, message.subject, message.data, message.time_ns

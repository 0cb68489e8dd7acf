"""Read the ledger from any place to any other, whether the facts are in segments, in the stream, or in both."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from nats.aio.client import Client

from trialbook import subjects
from trialbook.errors import Unavailable
from trialbook.ledger.manifest import Manifest, load_sealed
from trialbook.ledger.segments import Damaged, Segment, messages_of
from trialbook.ledger.storage import SegmentStorage
from trialbook.log.bulk import read_stream
from trialbook.log.purged import Boundary, boundary
from trialbook.log.tail import Message, Tail
from trialbook.streams import FACTS

IDLE_S = 2.0
TAIL_MESSAGES = 2000
Read = Callable[[int, int | None], AsyncIterator[list[Message]]]
"""After, up to -> batches of what the stream has in between."""


class LedgerGap(Exception):
    """Facts are in neither the stream nor a segment: ``after`` is the last one before them, ``before`` the next one."""

    def __init__(self, after: int, before: int) -> None:
        super().__init__(f"facts {after + 1} to {before - 1} are missing in the ledger")
        self.after, self.before = after, before


async def read_ledger(
    nc: Client, url: str, storage: SegmentStorage | None, after: int = 0, up_to: int | None = None, *,
    headers: bool = False,
) -> AsyncIterator[list[Message]]:  # fmt: skip
    """Batches of every fact with ``after < sequence <= up_to`` in order, to ``up_to`` or to the present end.

    ``url`` is that of the services' NATS, for a connection of its own; what bulk reads cannot use is left to ``nc``.
    With ``headers`` the messages have their raw headers. Segments are compared with their digests as they are read.
    Raises ``LedgerGap``, ``Damaged``, and ``Unavailable`` when the server or the storage goes away.
    """

    async def bulk(start: int, end: int | None) -> AsyncIterator[list[Message]]:
        async for batch in read_stream(url, FACTS, [subjects.FACTS_ALL], start, end, headers=headers):
            yield batch

    async def tail(start: int, end: int | None) -> AsyncIterator[list[Message]]:
        async for batch in _tail(nc, start, end):
            yield batch

    stream: Read = bulk if headers or url.startswith("nats://") else tail
    position = after
    while up_to is None or position < up_to:
        known = await boundary(nc)
        if position < known.sequence:
            async for batch in read_sealed(storage, known, position, up_to):
                position = batch[-1].sequence
                yield batch
            continue
        async for batch in stream(position, up_to):
            whole = until_gap(batch, position)
            if whole:
                position = whole[-1].sequence
                yield whole
            if len(whole) < len(batch):
                await _explain(nc, position, batch[len(whole)].sequence)
                break
        else:
            return


async def read_sealed(
    storage: SegmentStorage | None, known: Boundary, after: int, up_to: int | None = None
) -> AsyncIterator[list[Message]]:
    """The facts in segments with ``after < sequence <= up_to``, up to the boundary. Raises as ``read_ledger``."""
    manifest = await sealed_manifest(storage, known)
    assert storage is not None, "sealed_manifest refuses that"
    position = after
    for segment in manifest.streams[FACTS].segments:
        if segment.last <= position:
            continue
        if up_to is not None and segment.first > up_to:
            return
        messages = await read_segment(storage, segment)
        wanted = [m for m in messages if m.sequence > position and (up_to is None or m.sequence <= up_to)]
        if not wanted:
            return
        if len(until_gap(wanted, position)) < len(wanted):
            raise Damaged(f"segment {segment.name} does not follow fact {position} without a gap")
        position = wanted[-1].sequence
        yield wanted
    if position < min(known.sequence, known.sequence if up_to is None else up_to):
        raise Damaged(f"the segments end at fact {position}, before the boundary {known.sequence}")


async def read_segment(storage: SegmentStorage, segment: Segment) -> list[Message]:
    """One segment, compared with its record. Raises ``Damaged``; ``NotFound`` when its file is gone."""
    return messages_of(segment, await storage.get(segment.name))


async def sealed_manifest(storage: SegmentStorage | None, known: Boundary) -> Manifest:
    """The list of segments at a boundary. Raises ``Unavailable`` without a storage, ``Damaged``, ``NotFound``."""
    if storage is None:
        raise Unavailable(
            "segments_not_configured",
            f"Facts up to {known.sequence} are in sealed segments; set TRIALBOOK_SEGMENTS_URL to where these are.",
        )
    return await load_sealed(storage, known.sequence, known.manifest)


def until_gap(batch: list[Message], after: int) -> list[Message]:
    """The part of an ascending batch that follows ``after`` without a gap."""
    if not batch or batch[-1].sequence - after == len(batch):
        return batch
    for place, message in enumerate(batch):
        if message.sequence != after + place + 1:
            return batch[:place]
    return batch


async def _explain(nc: Client, position: int, found: int) -> None:
    """A gap is right when facts have been sealed and purged meanwhile. Raises ``LedgerGap`` when not."""
    if (await boundary(nc)).sequence <= position:
        raise LedgerGap(position, found)


async def _tail(nc: Client, after: int, up_to: int | None) -> AsyncIterator[list[Message]]:
    async with Tail(nc, FACTS, [subjects.FACTS_ALL], after) as tail:
        while up_to is None or tail.position < up_to:
            got = await tail.next(max_messages=TAIL_MESSAGES, timeout_s=IDLE_S)
            if got:
                yield got if up_to is None else [m for m in got if m.sequence <= up_to]
            elif tail.pending == 0:
                return

"""Build a database file from the streams, from its position up to given ones, in large batches."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import msgspec
from nats.aio.client import Client

from trialbook import subjects
from trialbook.ledger.reader import read_ledger
from trialbook.ledger.storage import SegmentStorage
from trialbook.log.api import call, first_after
from trialbook.log.bulk import read_stream
from trialbook.log.tail import Message, Tail
from trialbook.streams import FACTS, SIGNALS
from trialbook.vault.ring import KeyRing
from trialbook_projector.live import opener
from trialbook_projector.tables.bulk import Bulk
from trialbook_projector.tables.store import Limits, Positions, open_store
from trialbook_projector.tables.writer import Capacity, Writer

FACTS_PER_BATCH = 2000
SIGNALS_PER_BATCH = 16
"""Small enough to stay in the processor's cache from decoding to Arrow."""
CAPACITY = Capacity(runs=15_000, items=10_000, emitted=15_000)
"""Larger than in service: a build lives a short time and has most runs begin and end within its memory."""
IDLE_S = 2.0

Read = Callable[[str, str, int, int], AsyncIterator[list[Message]]]
"""Stream, filter, after, up to -> batches in order."""


async def last_positions(nc: Client) -> Positions:
    """The last sequences of both streams."""
    facts, signals = [(await call(nc, f"STREAM.INFO.{stream}"))["state"]["last_seq"] for stream in (FACTS, SIGNALS)]
    return Positions(int(facts), int(signals))


async def gone(nc: Client, after: int, up_to: int) -> bool:
    """Whether the stream has no signal between any more: it expired, or was erased."""
    found = await first_after(nc, SIGNALS, subjects.SIGNALS_ALL, after)
    return found is None or found > up_to


async def first_signal(nc: Client) -> int:
    """The first signal that has not expired (1 for an empty stream)."""
    return max(1, int((await call(nc, f"STREAM.INFO.{SIGNALS}"))["state"]["first_seq"]))


async def build(
    nc: Client, url: str, path: Path, limits: Limits, to: Positions, keys: KeyRing, storage: SegmentStorage
) -> None:
    """Bring the file at ``path`` (new, or a part of the way) up to ``to`` and close it.

    For a process of its own: it switches the search for garbage cycles off, which would take half of the time.
    """
    gc.disable()
    store = await asyncio.to_thread(open_store, path, msgspec.structs.replace(limits, threads=1))
    read = partial(_bulk, nc, url, storage) if url.startswith("nats://") else partial(_tail, nc, storage)
    try:
        writer = Writer(store, CAPACITY, opener(keys))
        await _apply(writer, to, read, keys)
        await _pass_over(nc, writer, to)
    finally:
        await asyncio.to_thread(store.close)


async def catch_up(nc: Client, writer: Writer, to: Positions, keys: KeyRing | None, storage: SegmentStorage) -> None:
    """Apply what lies between the writer's positions and ``to``; signals that have expired are skipped."""
    await _pass_over(nc, writer, to)  # what is gone would be waited for
    await _apply(writer, to, partial(_tail, nc, storage), keys)
    await _pass_over(nc, writer, to)


async def _pass_over(nc: Client, writer: Writer, to: Positions) -> None:
    if await gone(nc, writer.positions.signals, to.signals):
        await asyncio.to_thread(writer.pass_over, to.signals)


async def _apply(writer: Writer, to: Positions, read: Read, keys: KeyRing | None) -> None:
    facts, signals = writer.positions.facts, writer.positions.signals
    with Bulk(writer) as bulk:
        if facts < to.facts:
            batches = _with_keys(read(FACTS, subjects.FACTS_ALL, facts, to.facts), keys)
            await _follow(batches, FACTS_PER_BATCH, lambda batch: bulk.put(batch, ()))
        if signals < to.signals:
            batches = read(SIGNALS, subjects.SIGNALS_ALL, signals, to.signals)
            await _follow(batches, SIGNALS_PER_BATCH, lambda batch: bulk.put((), batch))


async def _follow(batches: AsyncIterator[list[Message]], size: int, put: Callable[[list[Message]], None]) -> None:
    """Read ahead while the batch before is applied."""
    queue: asyncio.Queue[list[Message]] = asyncio.Queue(maxsize=16)

    async def read() -> None:
        waiting: list[Message] = []
        async for batch in batches:
            waiting += batch
            while len(waiting) >= size:
                await queue.put(waiting[:size])
                del waiting[:size]
        if waiting:
            await queue.put(waiting)
        await queue.put([])

    async with asyncio.TaskGroup() as group:
        group.create_task(read())
        while batch := await queue.get():
            await asyncio.to_thread(put, batch)


async def _with_keys(batches: AsyncIterator[list[Message]], keys: KeyRing | None) -> AsyncIterator[list[Message]]:
    """The batches, each when the keys of its sealed facts are at hand."""
    async for batch in batches:
        if keys is not None:
            await keys.ensure(message.data for message in batch)
        yield batch


def _bulk(
    nc: Client, url: str, storage: SegmentStorage, stream: str, subject: str, after: int, end: int
) -> AsyncIterator[list[Message]]:
    if stream == FACTS:
        return read_ledger(nc, url, storage, after, end)
    return read_stream(url, stream, [subject], after, end)


def _tail(
    nc: Client, storage: SegmentStorage, stream: str, subject: str, after: int, end: int
) -> AsyncIterator[list[Message]]:
    if stream == FACTS:
        return read_ledger(nc, "", storage, after, end)
    return _follow_tail(nc, stream, subject, after, end)


async def _follow_tail(nc: Client, stream: str, subject: str, after: int, end: int) -> AsyncIterator[list[Message]]:
    async with Tail(nc, stream, [subject], after) as tail:
        while tail.position < end:
            got = await tail.next(max_messages=FACTS_PER_BATCH, timeout_s=IDLE_S)
            yield [m for m in got if m.sequence <= end]
            if not got and tail.pending == 0:
                return

"""Build a database file from the streams, from its position up to given ones, in large batches."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import msgspec
from nats.aio.client import Client

from trialbook import subjects
from trialbook.errors import Unavailable
from trialbook.ledger.reader import read_ledger
from trialbook.ledger.storage import SegmentStorage
from trialbook.log.api import call, first_after
from trialbook.log.bulk import read_stream
from trialbook.log.purged import boundary
from trialbook.log.tail import Message, Tail
from trialbook.streams import FACTS, SIGNALS
from trialbook.vault.ring import KeyRing
from trialbook_projector.live import opener
from trialbook_projector.parts import LEAST_FACTS, apply_in_parts
from trialbook_projector.tables import find
from trialbook_projector.tables.bulk import Bulk
from trialbook_projector.tables.store import Limits, Positions, open_store, remove
from trialbook_projector.tables.writer import UNSTORABLE, Capacity, Writer

FACTS_PER_BATCH = 2000
SIGNALS_PER_BATCH = 16
"""Small enough to stay in the processor's cache from decoding to Arrow."""
CAPACITY = Capacity(runs=15_000, items=10_000, emitted=15_000)
"""Larger than in service: a build lives a short time and has most runs begin and end within its memory."""
IDLE_S = 2.0

log = logging.getLogger(__name__)


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
    limits = msgspec.structs.replace(limits, threads=1)
    work = _Work(nc, keys, storage, url if url.startswith("nats://") else "")
    try:
        await _build(path, limits, to, work, in_parts=bool(work.url))
    except* (*UNSTORABLE, RunTwice) as errors:
        log.warning("building again without helpers, because of %s", errors.exceptions[0])
        await asyncio.to_thread(remove, path)
        await _build(path, limits, to, work, in_parts=False)


async def _build(path: Path, limits: Limits, to: Positions, work: _Work, *, in_parts: bool) -> None:
    store = await asyncio.to_thread(open_store, path, limits)
    try:
        writer = Writer(store, CAPACITY, opener(work.keys))
        await _apply(writer, to, work, in_parts=in_parts)
        await _pass_over(work.nc, writer, to)
    finally:
        await asyncio.to_thread(store.close)


async def catch_up(nc: Client, writer: Writer, to: Positions, keys: KeyRing | None, storage: SegmentStorage) -> None:
    """Apply what lies between the writer's positions and ``to``; signals that have expired are skipped."""
    work = _Work(nc, keys, storage, "")
    await _pass_over(nc, writer, to)  # what is gone would be waited for
    await _apply(writer, to, work, in_parts=False)
    await _pass_over(nc, writer, to)


async def _pass_over(nc: Client, writer: Writer, to: Positions) -> None:
    if await gone(nc, writer.positions.signals, to.signals):
        await asyncio.to_thread(writer.pass_over, to.signals)


async def _apply(writer: Writer, to: Positions, work: _Work, *, in_parts: bool) -> None:
    with Bulk(writer) as bulk:

        async def plainly(after: int, up_to: int) -> None:
            batches = work.with_keys(read_ledger(work.nc, work.url, work.storage, after, up_to))
            await _follow(batches, FACTS_PER_BATCH, lambda batch: bulk.put(batch, ()))

        facts, signals = writer.positions.facts, writer.positions.signals
        sealed = (await boundary(work.nc)).sequence if in_parts else 0
        if in_parts and to.facts - max(facts, sealed) >= LEAST_FACTS:
            if facts < sealed:
                await plainly(facts, sealed)
            await apply_in_parts(bulk, work.url, max(facts, sealed), to.facts, work.ensure, plainly)
            await asyncio.to_thread(_check_runs, writer)
        elif facts < to.facts:
            await plainly(facts, to.facts)
        if signals < to.signals:
            await _follow(work.signals(signals, to.signals), SIGNALS_PER_BATCH, lambda batch: bulk.put((), batch))
    if (reached := writer.positions.facts) < to.facts:  # the stream has every fact: something ended the reading early
        text = f"The facts were read up to {reached} instead of {to.facts}; ask for it again."
        raise Unavailable("ledger_unavailable", text)


def _check_runs(writer: Writer) -> None:
    """No handler writes a run's beginning twice; should it be there, only folding it in its place is right."""
    if find.twice(writer.store.writer):
        raise RunTwice("a run that begins twice")


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


class RunTwice(Exception):
    """Two parts of the ledger have the beginning of one run."""


class _Work(msgspec.Struct, frozen=True):
    """Where to read; ``url`` for connections of its own, empty: ``nc`` does it."""

    nc: Client
    keys: KeyRing | None
    storage: SegmentStorage
    url: str

    async def ensure(self, messages: Sequence[Message]) -> None:
        """Have the keys of sealed facts at hand."""
        if self.keys is not None:
            await self.keys.ensure(message.data for message in messages)

    async def with_keys(self, batches: AsyncIterator[list[Message]]) -> AsyncIterator[list[Message]]:
        """The batches, each when its keys are at hand."""
        async for batch in batches:
            await self.ensure(batch)
            yield batch

    def signals(self, after: int, up_to: int) -> AsyncIterator[list[Message]]:
        """Signals after a position, up to another."""
        if self.url:
            return read_stream(self.url, SIGNALS, [subjects.SIGNALS_ALL], after, up_to)
        return _follow_tail(self.nc, after, up_to)


async def _follow_tail(nc: Client, after: int, end: int) -> AsyncIterator[list[Message]]:
    async with Tail(nc, SIGNALS, [subjects.SIGNALS_ALL], after) as tail:
        while tail.position < end:
            got = await tail.next(max_messages=FACTS_PER_BATCH, timeout_s=IDLE_S)
            yield [m for m in got if m.sequence <= end]
            if not got and tail.pending == 0:
                return

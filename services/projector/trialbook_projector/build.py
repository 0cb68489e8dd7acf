"""Build a database file from the streams, from its position up to given ones, in large batches."""

from __future__ import annotations

import asyncio
from pathlib import Path

from nats.aio.client import Client

from trialbook import subjects
from trialbook.log.api import call
from trialbook.log.tail import Message, Tail
from trialbook.streams import FACTS, SIGNALS
from trialbook_projector.tables.store import Limits, Positions, open_store
from trialbook_projector.tables.writer import Capacity, Writer

FACTS_PER_BATCH = 20_000
SIGNALS_PER_BATCH = 256
CAPACITY = Capacity(runs=40_000, items=20_000, emitted=40_000)
"""Larger than in service: a build lives a short time and has most runs begin and end within its memory."""
IDLE_S = 2.0


async def last_positions(nc: Client) -> Positions:
    """The last sequences of both streams."""
    facts, signals = [(await call(nc, f"STREAM.INFO.{stream}"))["state"]["last_seq"] for stream in (FACTS, SIGNALS)]
    return Positions(int(facts), int(signals))


async def first_signal(nc: Client) -> int:
    """The first signal that has not expired (1 for an empty stream)."""
    return max(1, int((await call(nc, f"STREAM.INFO.{SIGNALS}"))["state"]["first_seq"]))


async def build(nc: Client, path: Path, limits: Limits, to: Positions) -> None:
    """Bring the file at ``path`` (new, or a part of the way) up to ``to`` and close it."""
    store = await asyncio.to_thread(open_store, path, limits)
    try:
        writer = Writer(store, CAPACITY)
        await catch_up(nc, writer, to)
    finally:
        await asyncio.to_thread(store.close)


async def catch_up(nc: Client, writer: Writer, to: Positions) -> None:
    """Apply what lies between the writer's positions and ``to``; signals that have expired are skipped."""
    await _follow(nc, writer, FACTS, writer.positions.facts, to.facts)
    await _follow(nc, writer, SIGNALS, writer.positions.signals, to.signals)


async def _follow(nc: Client, writer: Writer, stream: str, after: int, end: int) -> None:
    """Read ahead while the batch before is written."""
    if after >= end:
        return
    batches: asyncio.Queue[list[Message]] = asyncio.Queue(maxsize=1)
    async with asyncio.TaskGroup() as group:
        group.create_task(_read(nc, stream, after, end, batches))
        while batch := await batches.get():
            done = await asyncio.to_thread(writer.apply, *((batch, ()) if stream == FACTS else ((), batch)))
            for applied in done:
                writer.publish(applied)


async def _read(nc: Client, stream: str, after: int, end: int, batches: asyncio.Queue[list[Message]]) -> None:
    """Fill the queue up to ``end``; an empty batch ends it."""
    subject, size = (
        (subjects.FACTS_ALL, FACTS_PER_BATCH) if stream == FACTS else (subjects.SIGNALS_ALL, SIGNALS_PER_BATCH)
    )
    async with Tail(nc, stream, [subject], after) as tail:
        waiting: list[Message] = []
        while tail.position < end:
            got = await tail.next(max_messages=size, timeout_s=IDLE_S)
            waiting += [m for m in got if m.sequence <= end]
            if not got and tail.pending == 0:
                break
            if len(waiting) >= size:
                await batches.put(waiting)
                waiting = []
        if waiting:
            await batches.put(waiting)
    await batches.put([])

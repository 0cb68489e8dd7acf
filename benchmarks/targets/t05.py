"""T5: milliseconds from a run's ``ctx.log`` to the WebSocket client that has the line, with one client and with 500.

A run in a process of its own logs the time 25 times a second; a client on this machine subtracts it from the time of
arrival. Every client has to receive every line exactly once: ``lost`` counts those missing or repeated.

The bare part: bare uvicorn that passes on what one WebSocket client sends to all others, at the same pace and with the
same number of clients (``bare`` with one, ``bare_many_p99`` with 500).
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from benchmarks import local
from benchmarks.bare import bare_server
from benchmarks.model import Goal, Measure, Options, Sample, Target
from benchmarks.stats import p50, p99
from benchmarks.websocket import WebSocket, open_websocket
from trialbook_deploy.stack import Stack

TARGET = Target(
    key="T5", title="emit to WebSocket, p50", unit="ms", target=3, better="less",
    goals=(Goal("p99", 10), Goal("many_p99", 40), Goal("lost", 0)),
)  # fmt: skip
PERIOD_S = 0.04
TICK = re.compile(rb"tick (\d{16,20})")
AT_ONCE = 20
GRACE_S = 15.0


class Audience:
    """Clients that note each tick's emission and arrival (Unix nanoseconds)."""

    def __init__(self) -> None:
        self.seen: list[list[tuple[int, int]]] = []
        self.sockets: list[WebSocket] = []

    async def join(self, url: str, path: str, count: int) -> None:
        """Connect ``count`` clients, several at a time."""
        gate = asyncio.Semaphore(AT_ONCE)

        async def one() -> None:
            async with gate:
                noted: list[tuple[int, int]] = []
                self.seen.append(noted)
                self.sockets.append(await open_websocket(url, path, lambda data: _note(noted, data)))

        async with asyncio.TaskGroup() as group:
            for _ in range(count):
                group.create_task(one())

    async def complete(self, ticks: int) -> None:
        """Wait until all have as many ticks; gives up quietly, for what is missing is counted."""
        deadline = time.monotonic() + GRACE_S
        while time.monotonic() < deadline and any(len(noted) < ticks for noted in self.seen):
            await asyncio.sleep(0.05)

    def lost(self, ticks: int) -> int:
        """Ticks missing or repeated, over all clients."""
        return sum(abs(ticks - len(noted)) + len(noted) - len({sent for sent, _ in noted}) for noted in self.seen)

    def latencies(self, since_ns: int) -> list[float]:
        """Milliseconds of all ticks that were emitted after ``since_ns``."""
        return [(got - sent) / 1e6 for noted in self.seen for sent, got in noted if sent > since_ns]

    def close(self) -> None:
        """End all connections."""
        for socket in self.sockets:
            socket.close()


def _note(noted: list[tuple[int, int]], data: bytes) -> None:
    now = time.time_ns()
    noted.extend((int(sent), now) for sent in TICK.findall(data))


async def live(stack: Stack, clients: int, ticks: int) -> tuple[list[float], int]:
    """Latencies and losses with so many clients on one run."""
    after_s = 1.0 + clients * 0.015
    params = {"ticks": ticks, "period_s": PERIOD_S, "after_s": after_s}
    run = await local.submit(stack, "bench-ticks", params)
    audience = Audience()
    try:
        await audience.join(stack.url, f"/v1/runs/{run}/ws", clients)
        joined = time.time_ns()
        await local.wait_for(stack, run, timeout_s=after_s + ticks * PERIOD_S + GRACE_S)
        await audience.complete(ticks)
        return audience.latencies(joined), audience.lost(ticks)
    finally:
        audience.close()


async def bare(url: str, clients: int, ticks: int) -> list[float]:
    """Latencies of the bare fan-out."""
    audience = Audience()
    try:
        await audience.join(url, "/listen", clients)
        speaker = await open_websocket(url, "/emit", lambda _: None)
        audience.sockets.append(speaker)
        for _ in range(ticks):
            speaker.send_text(f"tick {time.time_ns()}")
            await asyncio.sleep(PERIOD_S)
        await audience.complete(ticks)
        return audience.latencies(0)
    finally:
        audience.close()


@asynccontextmanager
async def prepare(options: Options) -> AsyncIterator[Measure]:
    """A stack, and the bare server beside it."""
    many, ticks = options.size(500, 100), options.size(300, 100)
    async with AsyncExitStack() as resources:
        running = await resources.enter_async_context(local.stack())
        bare_url = await resources.enter_async_context(bare_server("fan_out"))
        await live(running, 1, 3)  # the first process attempt pays for what later ones share

        async def measure() -> Sample:
            one, lost_one = await live(running, 1, ticks)
            all_, lost_many = await live(running, many, ticks)
            bare_one, bare_many = await bare(bare_url, 1, ticks), await bare(bare_url, many, ticks)
            more = {
                "p99": p99(one), "many_p50": p50(all_), "many_p99": p99(all_), "clients": float(many),
                "lost": float(lost_one + lost_many), "bare_p99": p99(bare_one), "bare_many_p99": p99(bare_many),
            }  # fmt: skip
            return Sample(value=p50(one), bare=p50(bare_one), more=more)

        yield measure

"""G1: algomancy scenarios per second of an algorithm that does nothing, queued at once in one session, where each waits
for the one before it: from the request that creates and runs them until the last one reads as complete.
``sessions_8``: in eight sessions side by side, together; ``greedy``: as the value, with an algorithm that reads its
dataset and KPIs that compute.

The bare part: no-op runs in processes, each submitted when the one before it has been read as completed;
``bare_8``: by eight clients side by side.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count
from time import perf_counter

import msgspec

from benchmarks.algomancy_stack import algomancy, ended, session, sweep
from benchmarks.load import HttpConnection, connections
from benchmarks.model import Measure, Options, Sample, Target

TARGET = Target(key="G1", title="algomancy scenarios, one session", unit="scenarios/s", target=None, better="more")
SIDE_BY_SIDE = 8
ORDER = msgspec.json.encode({"workload": "noop", "isolation": "process"})


async def _scenarios(client: HttpConnection, id_: str, prefix: str, scenarios: int, algorithm: str = "Instant") -> None:
    ids = await sweep(client, id_, prefix, scenarios, run=True, algorithm=algorithm)
    await ended(client, id_, ids[-1])


async def _runs(client: HttpConnection, runs: int) -> None:
    for _ in range(runs):
        made = msgspec.json.decode(await client.ok("POST", "/v1/runs", ORDER))
        found = await client.json("GET", f"/v1/runs/{made['id']}?wait=30")
        if found["status"] != "completed":
            raise RuntimeError(f"the run is {found['status']}")


@asynccontextmanager
async def prepare(options: Options) -> AsyncIterator[Measure]:
    """A stack with eight sessions."""
    scenarios, numbers = options.size(100, 20), count()
    async with algomancy() as running:
        async with connections(running.url, 1) as (client,):
            ids = [await session(client, f"session {number}") for number in range(SIDE_BY_SIDE)]
            await _scenarios(client, ids[0], "warm", 5)

        async def timed(clients: int, work: Callable[[HttpConnection, int], Awaitable[None]]) -> float:
            async with connections(running.url, clients) as opened:  # idle ones are closed by the server
                start = perf_counter()
                await asyncio.gather(*(work(client, number) for number, client in enumerate(opened)))
                return perf_counter() - start

        async def measure() -> Sample:
            prefix, each = f"sweep {next(numbers)}", scenarios // 2
            one = await timed(1, lambda client, _: _scenarios(client, ids[0], prefix, scenarios))
            eight = await timed(SIDE_BY_SIDE, lambda client, at: _scenarios(client, ids[at], f"{prefix} of 8", each))
            greedy = await timed(
                1, lambda client, _: _scenarios(client, ids[0], f"{prefix} greedy", each, "Greedy Slotting")
            )
            bare = await timed(1, lambda client, _: _runs(client, scenarios))
            bare_8 = await timed(SIDE_BY_SIDE, lambda client, _: _runs(client, each))
            more = {
                "sessions_8": SIDE_BY_SIDE * each / eight,
                "bare_8": SIDE_BY_SIDE * each / bare_8,
                "greedy": each / greedy,
            }
            return Sample(value=scenarios / one, bare=scenarios / bare, more=more)

        yield measure

"""G2: milliseconds of the light list of 10,000 algomancy scenarios in one session, read page by page, p50.

``p99`` of the same; ``page``: 100 of them; ``full`` and ``full_p99``: the documented list, one reply with everything;
``create``: scenarios created per second by sweeps, without being run.

The bare part: reading and writing the light list's JSON once in this process.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import perf_counter
from urllib.parse import quote

import msgspec

from benchmarks.algomancy_stack import POINTS, SESSIONS, algomancy, session, sweep
from benchmarks.load import connections
from benchmarks.model import Measure, Options, Sample, Target
from benchmarks.stats import p50, p99

TARGET = Target(key="G2", title="light list of 10,000 scenarios", unit="ms", target=None, better="less")
TIMES = 20


@asynccontextmanager
async def prepare(options: Options) -> AsyncIterator[Measure]:
    """A stack with a full session."""
    total, times = options.size(10_000, 1_000), options.size(TIMES, 5)
    async with algomancy() as running, connections(running.url, 1) as (client,):
        id_ = await session(client, "full")
        start = perf_counter()
        for number in range(total // POINTS):
            await sweep(client, id_, f"sweep {number}", POINTS, run=False)
        create = total / (perf_counter() - start)
        scenarios = f"{SESSIONS}/{id_}/scenarios"

        async def light(limit: int, pages: int) -> list[bytes]:
            found: list[bytes] = []
            cursor = ""
            while len(found) < pages:
                body = await client.ok("GET", f"{scenarios}/summary?limit={limit}&cursor={quote(cursor)}")
                found.append(body)
                cursor = msgspec.json.decode(body)["next_cursor"] or ""
                if not cursor:
                    break
            return found

        async def full() -> None:
            if len(msgspec.json.decode(await client.ok("GET", scenarios))) < total:
                raise RuntimeError("the list is too short")

        async def measure() -> Sample:
            lists = [(await _timed(light, 1000, total)) for _ in range(times)]
            pages = [(await _timed(light, 100, 1)) for _ in range(times)]
            whole = [(await _timed(full)) for _ in range(max(3, times // 4))]
            bodies = await light(1000, total)
            begin = perf_counter()
            for body in bodies:
                msgspec.json.encode(msgspec.json.decode(body))
            bare = 1000 * (perf_counter() - begin)
            more = {
                "p99": p99(lists), "page": p50(pages), "full": p50(whole), "full_p99": p99(whole), "create": create
            }  # fmt: skip
            return Sample(value=p50(lists), bare=bare, more=more)

        yield measure


async def _timed(work: object, *arguments: int) -> float:
    start = perf_counter()
    await work(*arguments)  # type: ignore[operator]
    return 1000 * (perf_counter() - start)

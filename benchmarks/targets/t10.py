"""T10: seconds from kill -9 of the runner that executes a long run to the start of the run's second attempt.

Two runners are up; the one that owns the run is killed. The start is the time in the fact of the second attempt. The
target is twice the lease that the runners announce, and the bare part is the lease itself: until it is over nobody can
know that the runner is dead and not just slow.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks import local
from benchmarks.load import connect
from benchmarks.model import Measure, Options, Sample, Target
from trialbook.times import parse_time
from trialbook_deploy.stack import Stack

TARGET = Target(key="T10", title="take-over after kill -9 of a runner", unit="s", target=12, better="less")
LONGEST_S = 120.0


async def take_over(stack: Stack) -> float:
    """Seconds from the kill to the second attempt."""
    run = await local.submit(stack, "bench-sleep", {"seconds": LONGEST_S})
    owner = (await local.wait_for(stack, run, "running"))["runner"]
    await asyncio.sleep(0.5)
    killed = time.time()
    stack.kill(owner)
    connection = await connect(stack.url)
    try:
        async with asyncio.timeout(LONGEST_S):
            while (view := await connection.json("GET", f"/v1/runs/{run}"))["attempt"] < 2:
                await asyncio.sleep(0.05)
        await connection.json("POST", f"/v1/runs/{run}/cancel", {"reason": "measured"})
    finally:
        connection.close()
    return parse_time(view["attempt_started_at"]).timestamp() - killed


async def lease_s(stack: Stack) -> float:
    """The longest lease of the runners."""
    connection = await connect(stack.url)
    try:
        runners = await connection.json("GET", "/v1/runners")
        return max(float(runner["lease_s"]) for runner in runners["items"])
    finally:
        connection.close()


@asynccontextmanager
async def prepare(_options: Options) -> AsyncIterator[Measure]:
    """A stack with two runners."""
    async with local.stack(runners=2) as running:

        async def measure() -> Sample:
            lease = await lease_s(running)
            return Sample(value=await take_over(running), bare=lease, target=2 * lease)

        yield measure

"""T9: milliseconds that a process of its own adds to an attempt, over the same empty workload executed inline.

Both are submitted and waited for over HTTP, one at a time; the value is the difference of the medians. Further figures:
``sandbox``, the same for the sandbox, missing where the runners have none; ``inline``, the median of the inline run
itself.

The bare part: fork and exec of ``true``, waited for.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from benchmarks.bare import latencies
from benchmarks.load import HttpConnection, UnexpectedReplyError, connections
from benchmarks.local import stack
from benchmarks.model import Goal, Measure, Options, Sample, Target
from benchmarks.report import note
from benchmarks.stats import p50, p99
from trialbook_deploy.stack import Stack

TARGET = Target(
    key="T9", title="isolation per attempt: process over inline, p50", unit="ms", target=15, better="less",
    goals=(Goal("sandbox", 25),),
)  # fmt: skip


async def one_run(connection: HttpConnection, order: bytes) -> None:
    """Submit and wait for the end."""
    run = msgspec.json.decode(await connection.ok("POST", "/v1/runs", order))["id"]
    view = await connection.json("GET", f"/v1/runs/{run}?wait=10")
    if view["status"] != "completed":
        raise UnexpectedReplyError(f"run {run} is {view['status']}: {view['error']}")


async def has_sandbox(stack: Stack) -> bool:
    """Whether the runners execute sandboxed workloads."""
    async with connections(stack.url, 1) as (client,):
        runners = await client.json("GET", "/v1/runners")
    return all(runner["sandbox"] not in {"", "none"} for runner in runners["items"])


def spawn(count: int) -> list[float]:
    """Milliseconds of fork, exec and wait."""
    program = shutil.which("true")
    assert program is not None, "every Linux has it"
    taken = []
    for _ in range(count):
        start = time.perf_counter()
        subprocess.run([program], check=True)
        taken.append((time.perf_counter() - start) * 1000)
    return taken


@asynccontextmanager
async def prepare(options: Options) -> AsyncIterator[Measure]:
    """A stack."""
    count = options.size(200, 40)
    async with stack() as running:
        sandboxes = ["sandbox"] if await has_sandbox(running) else []
        if not sandboxes:
            note("T9  the runners of this machine have no sandbox")

        async def measure() -> Sample:
            taken = {}
            async with connections(running.url, 1) as (client,):
                for kind in ("inline", "process", *sandboxes):
                    order = msgspec.json.encode({"workload": f"bench-{kind}", "params": {}})
                    taken[kind] = await latencies(lambda order=order: one_run(client, order), count)  # type: ignore[misc]
            inline = p50(taken["inline"])
            more = {kind: p50(taken[kind]) - inline for kind in sandboxes}
            more |= {"inline": inline, "process_p99": p99(taken["process"])}
            return Sample(value=p50(taken["process"]) - inline, bare=p50(spawn(count)), more=more)

        yield measure

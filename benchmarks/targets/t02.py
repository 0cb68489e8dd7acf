"""T2: latency of one no-op run at a time over HTTP, from the submission to the reply that reads as completed.

The bare part: an empty POST and an empty GET on bare uvicorn with two publishes between them, each with compare-and-set
and fsync, one after the other as a run needs them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks.bare import bare_server, bare_stream, latencies
from benchmarks.load import connections
from benchmarks.local import stack
from benchmarks.model import Goal, Measure, Options, Sample, Target
from benchmarks.stats import p50, p99
from benchmarks.targets.t01 import ORDER, one_run

TARGET = Target(
    key="T2", title="the same, one at a time, p50", unit="ms", target=6, better="less", goals=(Goal("p99", 15),)
)


@asynccontextmanager
async def prepare(options: Options) -> AsyncIterator[Measure]:
    """A stack, and the bare server beside it."""
    count = options.size(1000, 200)
    async with stack() as running, bare_server("empty") as bare_url:

        async def measure() -> Sample:
            async with connections(running.url, 1) as (client,):
                taken = await latencies(lambda: one_run(client), count)
            async with bare_stream(running.nats_url) as stream, connections(bare_url, 1) as (client,):

                async def bare_run() -> None:
                    await client.ok("POST", "/v1/runs", ORDER)
                    await stream.life()
                    await client.ok("GET", "/v1/runs/0?wait=10")

                bare = await latencies(bare_run, count)
            more = {"p99": p99(taken), "bare_p99": p99(bare)}
            return Sample(value=p50(taken), bare=p50(bare), more=more)

        yield measure

"""T1: no-op runs per second over HTTP with 32 clients, each submitting a run and waiting until it reads as completed.

A client posts to ``/v1/runs`` and then gets ``/v1/runs/{id}?wait=10``; the run counts when that reply says
``completed``, which is answered from the projector's tables.

The bare part: 32 workers that publish two facts per run into a stream of the same server, with the same compare-and-set
and the same fsync per message, and nothing else. ``http_pairs`` in the further figures: pairs of an empty POST and an
empty GET per second on bare uvicorn.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from benchmarks.bare import bare_server, bare_stream, rate
from benchmarks.load import HttpConnection, UnexpectedReplyError, connections
from benchmarks.local import stack
from benchmarks.model import Measure, Options, Sample, Target

TARGET = Target(
    key="T1", title="no-op runs, submit to completed, 32 clients", unit="runs/s", target=1000, better="more"
)
CLIENTS = 32
ORDER = b'{"workload":"noop","params":{}}'


async def one_run(connection: HttpConnection) -> None:
    """Submit one run and wait for its end."""
    run = msgspec.json.decode(await connection.ok("POST", "/v1/runs", ORDER))["id"]
    reply = await connection.ok("GET", f"/v1/runs/{run}?wait=10")
    if (status := msgspec.json.decode(reply)["status"]) != "completed":
        raise UnexpectedReplyError(f"run {run} is {status}")


async def empty_pair(connection: HttpConnection) -> None:
    """The same traffic with a server that does nothing."""
    await connection.ok("POST", "/v1/runs", ORDER)
    await connection.ok("GET", "/v1/runs/0?wait=10")


@asynccontextmanager
async def prepare(options: Options) -> AsyncIterator[Measure]:
    """A stack, and the bare server beside it."""
    seconds = options.size(8, 3)
    async with stack() as running, bare_server("empty") as bare_url:

        async def measure() -> Sample:
            async with connections(running.url, CLIENTS) as clients:
                value = await rate(lambda i: one_run(clients[i]), CLIENTS, seconds)
            async with connections(bare_url, CLIENTS) as clients:
                pairs = await rate(lambda i: empty_pair(clients[i]), CLIENTS, 2)
            async with bare_stream(running.nats_url) as stream:
                bare = await rate(lambda _: stream.life(), CLIENTS, 3)
            return Sample(value=value, bare=bare, more={"http_pairs": pairs})

        yield measure

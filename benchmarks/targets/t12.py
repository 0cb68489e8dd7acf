"""T12: milliseconds of a page of 50 runs filtered by status over HTTP, with 100,000 runs stored.

Seven of ten runs completed, two failed and one was cancelled; the newest 50 of each status are asked for in turn, and
of those that failed also the pages that follow.

The bare part: the newest 50 failed runs with all columns from DuckDB, in this process, on a copy of the projector's
file.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import quote

import msgspec

from benchmarks import local
from benchmarks.bare import latencies
from benchmarks.load import HttpConnection, connections
from benchmarks.loaded import at_rest, caught_up, query_latencies, tables
from benchmarks.loaders import WORKSPACE, Template, facts_of_runs, load_facts, template
from benchmarks.model import Goal, Measure, Options, Sample, Target
from benchmarks.stats import p50, p99

TARGET = Target(
    key="T12", title="page of 50 runs by status, 100,000 stored, p50", unit="ms", target=5, better="less",
    goals=(Goal("p99", 15),),
)  # fmt: skip
STATUSES = ("completed", "failed", "cancelled")
PAGE = 50
SQL = "SELECT * FROM book.runs WHERE workspace = ? AND status = ? AND NOT deleted ORDER BY created DESC LIMIT 50"


class Reader:
    """Asks for one page after the other."""

    def __init__(self, connection: HttpConnection) -> None:
        self._connection = connection
        self._cursor: str | None = None
        self._asked = 0

    async def next(self) -> None:
        """One page, checked to be full and of the status."""
        status = STATUSES[self._asked % len(STATUSES)]
        self._asked += 1
        path = f"/v1/runs?status={status}&limit={PAGE}"
        if status == "failed" and self._cursor is not None:
            path += f"&cursor={quote(self._cursor)}"
        reply = await self._connection.ok("GET", path)
        if reply.count(b'"status":"%s"' % status.encode()) != PAGE:
            raise RuntimeError(f"not {PAGE} runs: {reply[:300].decode(errors='replace')}")
        if status == "failed":
            self._cursor = msgspec.json.decode(reply)["next_cursor"]


@asynccontextmanager
async def prepare(options: Options) -> AsyncIterator[Measure]:
    """A stack with the runs in it."""
    runs, count = options.size(100_000, 10_000), options.size(600, 150)
    ends: list[Template] = [await template(end) for end in ("completed", "failed", "cancelled")]
    share = [0, 0, 1, 0, 0, 2, 0, 1, 0, 0]
    async with local.stack() as running:
        facts = facts_of_runs(lambda number: ends[share[number % 10]], range(runs))
        loaded = await asyncio.to_thread(load_facts, running.nats_url, facts)
        await caught_up(running, facts=loaded)
        await at_rest(running, loaded)

        async def measure() -> Sample:
            async with connections(running.url, 1) as (client,):
                reader = Reader(client)
                taken = await latencies(reader.next, count)
            with tables(running) as copy:
                bare = query_latencies(copy, SQL, lambda i: (WORKSPACE, STATUSES[i % 3]), count)
            more = {"p99": p99(taken), "bare_p99": p99(bare), "stored": float(runs)}
            return Sample(value=p50(taken), bare=p50(bare), more=more)

        yield measure

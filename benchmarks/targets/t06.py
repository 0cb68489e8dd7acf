"""T6: milliseconds of the last 100 log lines of a run over HTTP, with 10 million lines of 1,000 runs stored.

One client asks for one run after the other, far apart from each other. Further figures: ``per_second_8``, requests per
second with 8 clients at once.

The bare part: the query for the same 100 rows in DuckDB, in this process, on a copy of the projector's file, knowing
between which cursors the run's lines are.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks import local
from benchmarks.bare import latencies, rate
from benchmarks.load import HttpConnection, connections
from benchmarks.loaded import caught_up, query_latencies, tables
from benchmarks.loaders import facts_of_runs, load_facts, load_signals, log_chunks, run_id, template
from benchmarks.model import Goal, Measure, Options, Sample, Target
from benchmarks.report import note
from benchmarks.stats import p50, p99

TARGET = Target(
    key="T6", title="last 100 logs of a run, 10 million stored, p50", unit="ms", target=3, better="less",
    goals=(Goal("p99", 10), Goal("per_second_8", 600, "more")),
)  # fmt: skip
CLIENTS = 8
STRIDE = 389
"""Prime: walks through all runs without staying in one place."""
EXTENTS = "SELECT run, workspace, min(first_cursor), max(last_cursor) FROM book.emitted GROUP BY ALL"
SQL = (
    "SELECT cursor, time, level, message, logger, step, attempt, data FROM book.logs"
    " WHERE run = ? AND workspace = ? AND cursor BETWEEN ? AND ? ORDER BY cursor DESC LIMIT 100"
)


async def newest(connection: HttpConnection, run: str) -> None:
    """One request, checked to bring 100 lines."""
    reply = await connection.ok("GET", f"/v1/runs/{run}/logs?limit=100")
    if reply.count(b'"message":"round ') != 100:
        raise RuntimeError(f"not 100 lines: {reply[:300].decode(errors='replace')}")


@asynccontextmanager
async def prepare(options: Options) -> AsyncIterator[Measure]:
    """A stack with the lines in it."""
    runs, lines = options.size(1000, 100), options.size(10_000, 5_000)
    count = options.size(1000, 300)
    completed = await template("completed")
    async with local.stack() as running:
        signals = await asyncio.to_thread(load_signals, running.nats_url, log_chunks(runs, lines))
        facts = facts_of_runs(lambda _: completed, range(runs), signals)
        behind = await caught_up(
            running, signals=signals, facts=await asyncio.to_thread(load_facts, running.nats_url, facts)
        )
        note(f"T6  {runs * lines:,} lines stored; the projector had them {behind:.1f} s later")
        asked = 0

        def next_run() -> str:
            nonlocal asked
            asked += 1
            return run_id(asked * STRIDE % runs)

        async def measure() -> Sample:
            async with connections(running.url, CLIENTS) as clients:
                taken = await latencies(lambda: newest(clients[0], next_run()), count)
                many = await rate(lambda i: newest(clients[i], next_run()), CLIENTS, options.size(5, 2))
            with tables(running) as copy:
                extents = {row[0]: row for row in copy.execute(EXTENTS).fetchall()}
                bare = query_latencies(copy, SQL, lambda _: extents[next_run()], count)
            more = {"p99": p99(taken), "per_second_8": many, "bare_p99": p99(bare), "stored": float(runs * lines)}
            return Sample(value=p50(taken), bare=p50(bare), more=more)

        yield measure

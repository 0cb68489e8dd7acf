"""T11: milliseconds to compare one metric over 100 runs over HTTP, with 1 million measurements stored.

Each run has ten metrics; the reply has last, least, greatest and 200 evenly chosen points of one of them for every run.

The bare part: the points and extremes of that metric of these runs from DuckDB, in this process, on a copy of the
projector's file.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks import local
from benchmarks.bare import latencies
from benchmarks.load import HttpConnection, connections
from benchmarks.loaded import caught_up, query_latencies, tables
from benchmarks.loaders import WORKSPACE, facts_of_runs, load_facts, load_signals, metric_chunks, run_id, template
from benchmarks.model import Measure, Options, Sample, Target
from benchmarks.stats import p50, p99

TARGET = Target(
    key="T11", title="compare one metric over 100 runs, 1 million points, p50", unit="ms", target=100, better="less"
)
RUNS = 100
NAMES = tuple(f"metric_{number}" for number in range(10))
SQL = """
WITH mine AS (
    SELECT run, value, cursor, row_number() OVER w AS number, count(*) OVER (PARTITION BY run) AS many
    FROM book.metrics WHERE workspace = ? AND name = ? AND run IN (SELECT unnest(?))
    WINDOW w AS (PARTITION BY run ORDER BY cursor))
SELECT run, max_by(value, cursor), min(value), max(value), any_value(many),
    list(value ORDER BY number) FILTER (number % greatest(many // 200, 1) = 0) FROM mine GROUP BY run
"""


async def compare(connection: HttpConnection, metric: str) -> None:
    """One request, checked to have every run."""
    runs = "&".join(f"run={run_id(number)}" for number in range(RUNS))
    reply = await connection.ok("GET", f"/v1/metrics/compare?metric={metric}&max_points=200&{runs}")
    if reply.count(b'"points"') != RUNS:
        raise RuntimeError(f"not {RUNS} runs: {reply[:300].decode(errors='replace')}")


@asynccontextmanager
async def prepare(options: Options) -> AsyncIterator[Measure]:
    """A stack with the measurements in it."""
    points, count = options.size(10_000, 1_000), options.size(60, 20)
    completed = await template("completed")
    async with local.stack() as running:
        signals = await asyncio.to_thread(load_signals, running.nats_url, metric_chunks(RUNS, points, NAMES))
        facts = facts_of_runs(lambda _: completed, range(RUNS), signals)
        last = await asyncio.to_thread(load_facts, running.nats_url, facts)
        await caught_up(running, signals=signals, facts=last)
        asked = 0

        def next_metric() -> str:
            nonlocal asked
            asked += 1
            return NAMES[asked % len(NAMES)]

        async def measure() -> Sample:
            async with connections(running.url, 1) as (client,):
                taken = await latencies(lambda: compare(client, next_metric()), count)
            runs = [run_id(number) for number in range(RUNS)]
            with tables(running) as copy:
                bare = query_latencies(copy, SQL, lambda _: (WORKSPACE, next_metric(), runs), count)
            more = {"p99": p99(taken), "bare_p99": p99(bare), "stored": float(RUNS * points)}
            return Sample(value=p50(taken), bare=p50(bare), more=more)

        yield measure

"""T4: log lines per second from one run until they can be queried.

A run in a process of its own calls ``ctx.log`` in a loop. The clock starts with the time in its first line and stops
when the list of its lines is complete and counts them all. Further figures: ``emitted``, the rate at which the
workload's calls returned; ``applied``, the rate at which chunks of 500 lines put straight into the stream become
queryable.

The bare part: the slower of ``bare_insert``, an Arrow table of the same lines inserted into DuckDB in transactions of
10,000, and ``bare_publish``, the same chunks stored in a stream like that of the signals, which nobody reads.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import duckdb
import pyarrow as pa

from benchmarks import local
from benchmarks.bare import QUICK_SUBJECT, bare_stream
from benchmarks.load import connect
from benchmarks.loaded import caught_up
from benchmarks.loaders import Message, load_signals, log_chunks, run_id
from benchmarks.model import Measure, Options, Sample, Target
from trialbook.times import parse_time
from trialbook_deploy.stack import Stack

TARGET = Target(key="T4", title="log lines from one run to queryable", unit="lines/s", target=300_000, better="more")
TRANSACTION = 10_000


async def from_a_run(stack: Stack, lines: int) -> tuple[float, float]:
    """Lines per second to queryable, and lines per second emitted."""
    run = await local.submit(stack, "bench-logs", {"lines": lines})
    connection = await connect(stack.url)
    try:
        path = f"/v1/runs/{run}"
        view = await connection.json("GET", f"{path}?wait=60")
        if view["status"] != "completed":
            raise RuntimeError(f"the run is {view['status']}: {view['error']}")
        while not (page := await connection.json("GET", f"{path}/logs?limit=1"))["complete"] or page["total"] < lines:
            await asyncio.sleep(0.005)
        end = time.time()
        if page["total"] != lines:
            raise RuntimeError(f"{page['total']} lines are stored, {lines} were emitted")
        first = await connection.json("GET", f"{path}/logs?limit=1&cursor=0")
    finally:
        connection.close()
    start = parse_time(first["items"][0]["time"]).timestamp()
    return lines / (end - start), float(view["result"])


def insert(lines: int) -> float:
    """Lines per second into a new DuckDB file."""
    with local.directory() as path:
        connection = duckdb.connect(str(Path(path) / "bare.duckdb"), config={"checkpoint_threshold": "256MB"})
        connection.execute(
            "CREATE TABLE logs (workspace VARCHAR, run VARCHAR, cursor BIGINT, time TIMESTAMP, level VARCHAR,"
            " message VARCHAR, logger VARCHAR, step VARCHAR, attempt INTEGER, data VARCHAR)"
        )
        tables = [_arrow(start, TRANSACTION) for start in range(0, lines, TRANSACTION)]
        began = time.perf_counter()
        for table in tables:
            connection.register("incoming", table)
            connection.execute("INSERT INTO logs SELECT * FROM incoming")
            connection.unregister("incoming")
        taken = time.perf_counter() - began
        connection.close()
    return len(tables) * TRANSACTION / taken


def _arrow(start: int, count: int) -> pa.Table:
    texts = pa.string()
    columns = {
        "workspace": pa.array(["main"] * count, texts),
        "run": pa.array([run_id(0)] * count, texts),
        "cursor": pa.array(range(start, start + count), pa.int64()),
        "time": pa.array(range(start, start + count), pa.timestamp("us")),
        "level": pa.array(["info"] * count, texts),
        "message": pa.array(
            [f"round {i} finished with score {i % 997 / 997:.4f}" for i in range(start, start + count)]
        ),
        "logger": pa.array(["trainer"] * count, texts),
        "step": pa.nulls(count, texts),
        "attempt": pa.array([1] * count, pa.int32()),
        "data": pa.nulls(count, texts),
    }
    return pa.table(columns)


def publish(url: str, messages: list[Message], lines: int) -> float:
    """Lines per second stored in a stream."""
    began = time.perf_counter()
    load_signals(url, ((QUICK_SUBJECT, payload) for _, payload in messages))
    return lines / (time.perf_counter() - began)


async def applied(stack: Stack, messages: list[Message], lines: int) -> float:
    """Lines per second from the stream into the tables."""
    start = time.perf_counter()
    last = await asyncio.to_thread(load_signals, stack.nats_url, messages)
    await caught_up(stack, signals=last)
    return lines / (time.perf_counter() - start)


@asynccontextmanager
async def prepare(options: Options) -> AsyncIterator[Measure]:
    """A stack."""
    lines = options.size(1_000_000, 200_000)
    messages = list(log_chunks(1, lines))
    async with local.stack() as running:
        # The first process attempt pays for what later ones share.
        await local.wait_for(running, await local.submit(running, "bench-logs", {"lines": 1}))

        async def measure() -> Sample:
            value, emitted = await from_a_run(running, lines)
            direct = await applied(running, messages, lines)
            inserted = await asyncio.to_thread(insert, lines)
            async with bare_stream(running.nats_url):
                published = await asyncio.to_thread(publish, running.nats_url, messages, lines)
            more = {"emitted": emitted, "applied": direct, "bare_insert": inserted, "bare_publish": published}
            return Sample(value=value, bare=min(inserted, published), more=more)

        yield measure

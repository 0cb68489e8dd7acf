"""T8: memory of the whole stack when nothing happens: megabytes (10^6 bytes) of all its processes together.

Front, keeper, nats-server, projector, one runner with what it keeps ready, and gateway. The value counts a page that
several processes share once (the sum of their PSS): it is what the machine has less. Further figures: ``rss``, the sum
of the resident sizes, in which shared pages count in each process; ``cpu``, percent of one core over ten seconds;
``ready``, seconds from the start of ``trialbook up`` to its word that it is ready. Memory is taken after a no-op run in
each isolation that needs no sandbox.

The bare part: a fresh nats-server and, per service, an interpreter that has imported the libraries it stands on.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psutil

from benchmarks import local
from benchmarks.model import Goal, Measure, Options, Sample, Target

TARGET = Target(
    key="T8", title="whole stack idle, memory", unit="MB", target=350, better="less",
    goals=(Goal("cpu", 2), Goal("ready", 3)),
)  # fmt: skip
MEGA = 1_000_000
SETTLE_S = 8.0
"""By then a runner has ended the processes that it forked ahead."""
LIBRARIES = {
    "gateway": "fastapi, uvicorn, uvloop, httptools, nats, msgspec, faststream.nats",
    "runner": "nats, msgspec",
    "runner's fork server": "msgspec",
    "projector": "duckdb, pyarrow, nats, msgspec, faststream.nats",
    "front": "os",
    "keeper": "asyncio, json",
}


def processes(front: int) -> list[psutil.Process]:
    """The front process and everything that lives below it."""
    root = psutil.Process(front)
    found = [root, *root.children(recursive=True)]
    return [process for process in found if process.status() != psutil.STATUS_ZOMBIE]


def memory(found: list[psutil.Process]) -> tuple[float, float]:
    """Sums of resident and of proportional megabytes."""
    full = [process.memory_full_info() for process in found]
    return sum(info.rss for info in full) / MEGA, sum(info.pss for info in full) / MEGA


def cpu_s(found: list[psutil.Process]) -> float:
    """Seconds of processor time used so far."""
    return sum(sum(process.cpu_times()[:2]) for process in found)


def bare_memory(imports: str) -> float:
    """Megabytes of an interpreter with these modules."""
    code = f"import {imports}, sys; print(flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None, "a pipe was asked for"
        process.stdout.readline()
        return float(psutil.Process(process.pid).memory_full_info().pss) / MEGA


@asynccontextmanager
async def prepare(options: Options) -> AsyncIterator[Measure]:
    """Nothing: the start is part of what is measured."""

    async def measure() -> Sample:
        bare = await asyncio.to_thread(lambda: sum(bare_memory(imports) for imports in LIBRARIES.values()))
        with local.directory() as place:
            stack = local.make_stack(place)
            start = time.perf_counter()
            async with stack:
                ready = time.perf_counter() - start
                idle = psutil.Process(stack.pid("nats")).memory_full_info().pss / MEGA
                for workload in ("bench-inline", "bench-process"):
                    await local.wait_for(stack, await local.submit(stack, workload))
                await asyncio.sleep(SETTLE_S)
                found = processes(stack.pid("front"))
                before, seconds = cpu_s(found), options.size(10, 5)
                await asyncio.sleep(seconds)
                cpu = (cpu_s(found) - before) / seconds * 100
                rss, pss = memory(found)
        more = {"rss": rss, "cpu": cpu, "ready": ready, "processes": float(len(found))}
        return Sample(value=pss, bare=bare + idle, more=more)

    yield measure

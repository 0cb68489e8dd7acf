"""The workloads that the benchmarks plug into the runners."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import msgspec

from trialbook.workload import Context, workload


class Lines(msgspec.Struct):
    """How many lines."""

    lines: int


class Ticks(msgspec.Struct):
    """How many lines, and how many seconds between two; ``after_s`` seconds pass before the first."""

    ticks: int
    period_s: float
    after_s: float = 0.0


class Sleep(msgspec.Struct):
    """How long."""

    seconds: float


class EffectsToRecord(msgspec.Struct):
    """How many effects, and how many at once."""

    effects: int
    parallel: int


RESPONSE = {"request": {"messages": [{"role": "user", "content": "p" * 2000}]}, "completion": {"text": "a" * 300}}
"""About as large as a model's call that is recorded with its prompt."""


@workload("bench-inline", isolation="inline")
def nothing_inline(_ctx: Context, _params: object) -> None:
    """Does nothing on the runner's own loop."""


@workload("bench-process", isolation="process")
def nothing_process(_ctx: Context, _params: object) -> None:
    """Does nothing in a process."""


@workload("bench-sandbox", isolation="sandbox")
def nothing_sandbox(_ctx: Context, _params: object) -> None:
    """Does nothing behind walls."""


@workload("bench-logs", params=Lines, isolation="process")
def logs(ctx: Context, params: Lines) -> float:
    """Logs as fast as it can; returns the lines per second that it was able to emit."""
    start = time.perf_counter()
    for index in range(params.lines):
        ctx.log(f"round {index} finished with score {index % 997 / 997:.4f}", logger="trainer")
    return params.lines / (time.perf_counter() - start)


@workload("bench-ticks", params=Ticks, isolation="process")
async def ticks(ctx: Context, params: Ticks) -> None:
    """Logs the time in nanoseconds (Unix) of each emission as the message."""
    await asyncio.sleep(params.after_s)
    start = time.monotonic()
    for index in range(params.ticks):
        await asyncio.sleep(max(0.0, start + index * params.period_s - time.monotonic()))
        ctx.log(f"tick {time.time_ns()}")


@workload("bench-sleep", params=Sleep, isolation="process")
async def sleep(_ctx: Context, params: Sleep) -> None:
    """Sleeps."""
    await asyncio.sleep(params.seconds)


@workload("bench-effects", params=EffectsToRecord, isolation="process")
async def effects(ctx: Context, params: EffectsToRecord) -> float:
    """Records effects whose calls cost nothing; returns the milliseconds per effect."""

    async def call() -> dict[str, Any]:
        return RESPONSE

    async def some(worker: int) -> None:
        for number in range(worker, params.effects, params.parallel):
            await ctx.effect(f"call/{number}", {"number": number}, call)

    start = time.perf_counter()
    await asyncio.gather(*(some(worker) for worker in range(params.parallel)))
    return (time.perf_counter() - start) * 1000 / params.effects

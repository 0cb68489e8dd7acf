"""The stack that a benchmark measures, with the benchmark's own workloads plugged in."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from benchmarks.load import connect
from trialbook_deploy.stack import Stack

ROOT = Path(__file__).parents[1]
CAUGHT_UP_S = 900.0
ENTRY_POINTS = """\
[trialbook.workloads]
bench-inline = benchmarks.workloads:nothing_inline
bench-process = benchmarks.workloads:nothing_process
bench-sandbox = benchmarks.workloads:nothing_sandbox
bench-logs = benchmarks.workloads:logs
bench-ticks = benchmarks.workloads:ticks
bench-sleep = benchmarks.workloads:sleep
bench-effects = benchmarks.workloads:effects
"""
METADATA = "Metadata-Version: 2.1\nName: trialbook-benchmarks\nVersion: 0\n"


@asynccontextmanager
async def stack(*, runners: int = 1, env: Mapping[str, str] | None = None) -> AsyncIterator[Stack]:
    """A running stack whose directory is removed at the end."""
    with directory() as path:
        stack = make_stack(path, runners=runners, env=env)
        async with stack:
            yield stack


def directory() -> tempfile.TemporaryDirectory[str]:
    """A place for a stack's data."""
    return tempfile.TemporaryDirectory(prefix="trialbook-bench-", ignore_cleanup_errors=True)


def make_stack(path: str, *, runners: int = 1, env: Mapping[str, str] | None = None) -> Stack:
    """A stack that is not started yet. Its runners find the workloads as they find any other distribution's."""
    plugins = Path(path) / "plugins"
    information = plugins / "trialbook_benchmarks-0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text(METADATA)
    (information / "entry_points.txt").write_text(ENTRY_POINTS)
    paths = [str(plugins), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return Stack(Path(path) / "data", runners=runners, env={**(env or {}), "PYTHONPATH": os.pathsep.join(paths)})


async def submit(stack: Stack, workload: str, params: dict[str, Any] | None = None) -> str:
    """Submit one run; returns its id."""
    connection = await connect(stack.url)
    try:
        reply = await connection.json("POST", "/v1/runs", {"workload": workload, "params": params or {}})
        return str(reply["id"])
    finally:
        connection.close()


async def wait_for(stack: Stack, run: str, status: str = "completed", timeout_s: float = 60.0) -> dict[str, Any]:
    """Wait until a run has a status; returns its view."""
    connection = await connect(stack.url)
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                view: dict[str, Any] = await connection.json("GET", f"/v1/runs/{run}")
                if view["status"] == status:
                    return view
                if view["status"] in {"completed", "failed", "cancelled"}:
                    raise RuntimeError(f"run {run} is {view['status']}, not {status}: {view['error']}")
                await asyncio.sleep(0.02)
    finally:
        connection.close()

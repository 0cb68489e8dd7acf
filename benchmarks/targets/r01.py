"""R1: facts per second of a replay, as lines of JSON over HTTP (GET /v1/events with ``Accept: application/x-ndjson``).

A million facts of 333,334 runs are in the ledger and in the tables; the whole of it is read as one stream of lines by a
client that only counts them. Further figures: ``command``, the same by ``trialbook replay`` into a file, its start
included; ``page_by_page``, with pages of a thousand facts as JSON, up to a hundred of them; ``megabytes``, the size of
the lines.

The bare part: messages per second of the same stream pulled over one socket and cut into messages, without decoding.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from benchmarks import local
from benchmarks.loaded import caught_up
from benchmarks.loaders import facts_of_runs, load_facts, template
from benchmarks.model import Measure, Options, Sample, Target
from benchmarks.targets.t07 import read_all
from trialbook_deploy.stack import Stack

TARGET = Target(key="R1", title="replay of the ledger as lines", unit="facts/s", target=None, better="more")
NDJSON = {"Accept": "application/x-ndjson"}
PAGES = 100


async def lines(url: str) -> tuple[int, int, float]:
    """Read everything: lines, bytes, and seconds."""
    count = size = 0
    start = time.perf_counter()
    async with httpx.AsyncClient(timeout=60) as http, http.stream("GET", f"{url}/v1/events", headers=NDJSON) as reply:
        reply.raise_for_status()
        async for chunk in reply.aiter_raw():
            count += chunk.count(b"\n")
            size += len(chunk)
    return count, size, time.perf_counter() - start


async def pages(url: str) -> float:
    """Facts per second by pages."""
    start, count, next_ = time.perf_counter(), 0, "/v1/events?limit=1000"
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        for _ in range(PAGES):
            reply = await http.get(next_)
            count += len(reply.json()["items"])
            if "next" not in reply.links:
                break
            next_ = reply.links["next"]["url"]
    return count / (time.perf_counter() - start)


async def command(stack: Stack, folder: Path, facts: int) -> float:
    """Facts per second of the command."""
    target = folder / "facts.ndjson"
    arguments = ("replay", "--to", str(target), "--data-dir", str(stack.data_dir))
    start = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "trialbook_deploy", *arguments, stderr=asyncio.subprocess.DEVNULL
    )
    if await process.wait():
        raise RuntimeError("trialbook replay failed")
    rate = facts / (time.perf_counter() - start)
    target.unlink()
    return rate


@asynccontextmanager
async def prepare(options: Options) -> AsyncIterator[Measure]:
    """A stack whose ledger is full."""
    runs = options.size(333_334, 33_334)
    completed = await template("completed")
    with tempfile.TemporaryDirectory() as folder:
        async with local.stack() as running:
            last = await asyncio.to_thread(
                load_facts, running.nats_url, facts_of_runs(lambda _: completed, range(runs))
            )
            await caught_up(running, facts=last)

            async def measure() -> Sample:
                bare = await asyncio.to_thread(read_all, running.nats_url, last)
                count, size, seconds = await lines(running.url)
                by_command = await command(running, Path(folder), count)
                more = {
                    "facts": float(count), "command": by_command, "page_by_page": await pages(running.url),
                    "megabytes": size / 1e6,
                }  # fmt: skip
                return Sample(value=count / seconds, bare=bare, more=more)

            yield measure

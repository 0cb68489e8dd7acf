"""The bare parts that several targets share: publishes into JetStream, and a web server that does nothing."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec
from nats.aio.client import Client

from benchmarks.local import ROOT
from trialbook.log.api import call
from trialbook.log.connect import connect
from trialbook.sockets import LOOPBACK, held_port

STREAM, QUICK = "BENCHMARK", "BENCHMARK_QUICK"
QUICK_SUBJECT = "benchmark-quick"
PAYLOAD = b"x" * 600
"""About the size of a fact of a small run."""
START_S = 15.0


class BareStream:
    """Streams on the same server with the durability of facts (``STREAM``) and of signals (``QUICK``)."""

    def __init__(self, nc: Client) -> None:
        self._nc = nc
        self._numbers = itertools.count()

    async def create(self) -> None:
        """Make the streams."""
        facts = {"name": STREAM, "subjects": ["benchmark.>"], "storage": "file", "allow_atomic": True}
        signals = {"name": QUICK, "subjects": [QUICK_SUBJECT], "storage": "file", "persist_mode": "async"}
        for config in (facts, signals):
            await call(self._nc, f"STREAM.CREATE.{config['name']}", config)

    async def remove(self) -> None:
        """Delete the streams with all that is in them."""
        for name in (STREAM, QUICK):
            await call(self._nc, f"STREAM.DELETE.{name}", timeout_s=30.0)

    async def life(self) -> None:
        """Two facts on one new subject, each expecting what is there: what a run costs at the least."""
        subject = f"benchmark.{next(self._numbers)}"
        first = await self._publish(subject, 0)
        await self._publish(subject, first)

    async def fact(self, payload: bytes) -> None:
        """One message on a new subject that expects it to be empty."""
        await self._publish(f"benchmark.{next(self._numbers)}", 0, payload)

    async def batch(self, size: int) -> None:
        """One atomic batch on new subjects."""
        id_ = f"bare-{next(self._numbers)}"
        for number in range(1, size):
            headers = {"Nats-Batch-Id": id_, "Nats-Batch-Sequence": str(number)}
            await self._nc.publish(f"benchmark.{id_}.{number}", PAYLOAD, headers=headers)
        headers = {"Nats-Batch-Id": id_, "Nats-Batch-Sequence": str(size), "Nats-Batch-Commit": "1"}
        _sequence((await self._nc.request(f"benchmark.{id_}.{size}", PAYLOAD, timeout=5, headers=headers)).data)

    async def _publish(self, subject: str, expected: int, payload: bytes = PAYLOAD) -> int:
        headers = {
            "Nats-Msg-Id": f"{next(self._numbers):032x}", "Nats-Expected-Last-Subject-Sequence": str(expected),
        }  # fmt: skip
        return _sequence((await self._nc.request(subject, payload, timeout=5, headers=headers)).data)


def _sequence(reply: bytes) -> int:
    answer = msgspec.json.decode(reply)
    if "error" in answer:
        raise RuntimeError(str(answer["error"]))
    return int(answer["seq"])


@asynccontextmanager
async def bare_stream(url: str) -> AsyncIterator[BareStream]:
    """Streams of the benchmark's own, removed at the end."""
    nc = await connect(url, name="benchmark")
    try:
        stream = BareStream(nc)
        await stream.create()
        yield stream
        await stream.remove()
    finally:
        await nc.close()


@asynccontextmanager
async def bare_server(application: str) -> AsyncIterator[str]:
    """The url of uvicorn with an application of ``benchmarks.bare_app``, in a process of its own as the gateway is."""
    held = held_port()
    port = held.getsockname()[1]
    command = [
        sys.executable, "-m", "uvicorn", f"benchmarks.bare_app:{application}", "--host", LOOPBACK, "--port", str(port),
        "--loop", "uvloop", "--http", "httptools", "--log-level", "warning", "--no-access-log",
    ]  # fmt: skip
    process = subprocess.Popen(command, cwd=ROOT)  # noqa: ASYNC220 - it returns at once
    try:
        await _listening(port, process)
        yield f"http://{LOOPBACK}:{port}"
    finally:
        process.kill()
        process.wait()
        held.close()


async def _listening(port: int, process: subprocess.Popen[bytes]) -> None:
    async with asyncio.timeout(START_S):
        while True:
            try:
                _, writer = await asyncio.open_connection(LOOPBACK, port)
            except OSError:
                if process.poll() is not None:
                    raise RuntimeError(f"uvicorn ended with code {process.returncode}") from None
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return


async def rate(work: Callable[[int], Awaitable[object]], workers: int, seconds: float) -> float:
    """How often per second ``work(worker)`` is done by so many workers at once; the start is not counted."""
    clock = time.perf_counter
    warm = clock() + min(0.5, seconds / 4)
    end = warm + seconds
    done = 0

    async def worker(number: int) -> None:
        nonlocal done
        while clock() < end:
            await work(number)
            done += warm <= clock() <= end

    async with asyncio.TaskGroup() as group:
        for number in range(workers):
            group.create_task(worker(number))
    return done / seconds


async def latencies(work: Callable[[], Awaitable[object]], count: int) -> list[float]:
    """Milliseconds that ``work`` takes, one after the other; the first tenth, at least three, is not counted."""
    taken: list[float] = []
    for _ in range(count + max(3, count // 10)):
        start = time.perf_counter()
        await work()
        taken.append((time.perf_counter() - start) * 1000)
    return taken[-count:]

"""A stack with data in it, and a copy of its tables for bare queries."""

from __future__ import annotations

import asyncio
import shutil
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import duckdb
import msgspec
from nats.aio.client import Client

from benchmarks.local import CAUGHT_UP_S
from benchmarks.report import note
from trialbook.asking import NatsAsk
from trialbook.errors import Refusal
from trialbook.log.connect import connect
from trialbook.proofs import LedgerInfo, LedgerState
from trialbook.queries import Health, ProjectorHealth
from trialbook.streams import FACTS
from trialbook_deploy.stack import Stack


async def caught_up(stack: Stack, *, facts: int = 0, signals: int = 0) -> float:
    """Wait until the projector has applied these sequences; returns the seconds that took."""
    start = time.perf_counter()
    nc = await connect(stack.nats_url, name="benchmark")
    try:
        ask = NatsAsk(nc)
        async with asyncio.timeout(CAUGHT_UP_S):
            while True:
                health = await _health(ask)
                if health is not None and health.facts >= facts and health.signals >= signals:
                    if health.parked:
                        raise RuntimeError(f"{health.parked} loaded messages were parked as unreadable")
                    return time.perf_counter() - start
                await asyncio.sleep(0.02)
    finally:
        await nc.close()


async def at_rest(stack: Stack, facts: int) -> None:
    """Wait until the ledger's tree holds this sequence too, and every consumer is done with what was loaded in bulk."""
    nc = await connect(stack.nats_url, name="benchmark")
    try:
        ask = NatsAsk(nc)
        async with asyncio.timeout(CAUGHT_UP_S):
            while await _hashed(ask) < facts or await _pending(nc):
                await asyncio.sleep(0.05)
    finally:
        await nc.close()


async def _hashed(ask: NatsAsk) -> int:
    answer = await ask.ask("_", LedgerState(), timeout_s=10.0)
    return msgspec.json.decode(answer.result or b"null", type=LedgerInfo).size


async def _pending(nc: Client) -> int:
    consumers = await nc.jsm().consumers_info(FACTS)
    return sum((info.num_pending or 0) + (info.num_ack_pending or 0) for info in consumers if info.config.durable_name)


async def _health(ask: NatsAsk) -> ProjectorHealth | None:
    """None while the projector is too busy to answer in time."""
    try:
        answer = await ask.ask("_", Health(), timeout_s=10.0)
    except Refusal as error:
        note(f"the projector does not answer: {error}")
        return None
    return msgspec.json.decode(answer.result or b"null", type=ProjectorHealth)


@asynccontextmanager
async def connected(stack: Stack) -> AsyncIterator[NatsAsk]:
    """Ask the stack's projector directly."""
    nc = await connect(stack.nats_url, name="benchmark")
    try:
        yield NatsAsk(nc)
    finally:
        await nc.close()


@contextmanager
def tables(stack: Stack) -> Iterator[Any]:
    """A DuckDB connection to a copy of the projector's file, as it stands at this moment.

    DuckDB lets no second process open the file, so the projector is stopped for the time of the copy; opening the copy
    replays its write-ahead log as after a crash.
    """
    source = database(stack.data_dir)
    copy = stack.data_dir.parent / "copy.duckdb"
    pid = stack.kill("projector", signal.SIGSTOP)
    try:
        for suffix in ("", ".wal"):
            part = source.with_name(source.name + suffix)
            if part.exists():
                shutil.copyfile(part, copy.with_name(copy.name + suffix))
    finally:
        stack.kill("projector", signal.SIGCONT)
    assert stack.pid("projector") == pid, "the projector was replaced while its file was copied"
    connection = duckdb.connect(str(copy), config={"threads": "2"})
    try:
        yield connection
    finally:
        connection.close()
        for path in copy.parent.glob("copy.duckdb*"):
            path.unlink()


def database(data_dir: Path) -> Path:
    """The projector's file below the data directory."""
    found = [path for path in data_dir.rglob("trialbook*.duckdb") if path.is_file()]
    if len(found) != 1:
        raise FileNotFoundError(f"{len(found)} DuckDB files below the data directory, there should be one")
    return found[0]


def query_latencies(connection: Any, sql: str, parameters: Callable[[int], Sequence[Any]], count: int) -> list[float]:
    """Milliseconds of each execution with all its rows fetched; the first tenth is not counted."""
    taken: list[float] = []
    for number in range(count + count // 10):
        start = time.perf_counter()
        connection.execute(sql, parameters(number)).fetchall()
        taken.append((time.perf_counter() - start) * 1000)
    return taken[-count:]

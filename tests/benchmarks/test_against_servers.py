"""The benchmarks' own clients against a real nats-server and a real uvicorn."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import loaders
from benchmarks.bare import bare_server, bare_stream
from benchmarks.targets import t05, t07
from benchmarks.wire import Wire, WireError
from trialbook.log.api import call
from trialbook.log.connect import connect
from trialbook.log.setup import ensure_streams
from trialbook.streams import FACTS, SIGNALS
from trialbook.testing.server import NatsServer

pytestmark = pytest.mark.integration


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    running = NatsServer(tmp_path / "nats").start()
    yield running
    running.kill()


async def test_what_is_loaded_is_in_the_streams(server: NatsServer) -> None:
    nc = await connect(server.url, name="test")
    await ensure_streams(nc)
    life = await loaders.template("completed")
    facts = loaders.facts_of_runs(lambda _: life, range(700))
    last = await asyncio.to_thread(loaders.load_facts, server.url, facts)
    signals = await asyncio.to_thread(loaders.load_signals, server.url, loaders.log_chunks(3, 1000))
    states = [(await call(nc, f"STREAM.INFO.{stream}"))["state"] for stream in (FACTS, SIGNALS)]
    assert [(state["messages"], state["last_seq"]) for state in states] == [(last, last), (signals, signals)]
    assert (last, signals) == (700 * len(life.facts), 6)
    assert await asyncio.to_thread(t07.read_all, server.url, last) > 0
    await nc.close()


async def test_a_refused_message_is_an_error(server: NatsServer) -> None:
    nc = await connect(server.url, name="test")
    await ensure_streams(nc)
    subject, payload = loaders.signal(loaders.run_id(1), "log", {"attempt": 1, "records": []}, 1)
    with Wire(server.url, "_INBOX.test") as wire:
        wire.store(subject, payload, b"NATS/1.0\r\nNats-Expected-Last-Subject-Sequence: 7\r\n\r\n")
        with pytest.raises(WireError, match="wrong last sequence"):
            await asyncio.to_thread(wire.settle)
    await nc.close()


async def test_the_bare_streams_take_lives_and_batches_and_go_away(server: NatsServer) -> None:
    async with bare_stream(server.url) as stream:
        await asyncio.gather(*(stream.life() for _ in range(20)))
        await stream.batch(100)
    nc = await connect(server.url, name="test")
    assert (await call(nc, "STREAM.NAMES"))["total"] == 0
    await nc.close()


async def test_the_bare_fan_out_reaches_every_listener() -> None:
    async with bare_server("fan_out") as url:
        latencies = await t05.bare(url, clients=5, ticks=4)
    assert len(latencies) == 20
    assert all(0 <= latency < 60_000 for latency in latencies)

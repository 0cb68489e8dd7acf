"""Signals: every line exactly once and in order, also when the server dies in between."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.runner.conftest import PATIENCE_S, Ledger
from trialbook.clock import SystemClock
from trialbook.envelope import AggregateId
from trialbook.log.setup import ensure_streams
from trialbook.signals import CHUNK_BYTES, CHUNK_RECORDS, Log
from trialbook.streams import Limits
from trialbook.testing.server import NatsServer
from trialbook_runner.emit import SignalPublisher
from trialbook_runner.records import MAX_RECORD_BYTES, Recorder, bounded_text

LINES = 100_000


@pytest.mark.integration
async def test_a_hundred_thousand_lines(ledger: Ledger, start_runner: Any) -> None:
    await start_runner()
    run = await ledger.submit("lines", {"count": LINES})
    state = await ledger.end(run)
    assert state.status == "completed", state.error
    records = await ledger.signals(run)
    assert [r["message"] for r in records] == [str(n) for n in range(LINES)]
    assert records[-1]["sequence"] == state.signal_sequence
    times = [r["time"] for r in records]
    assert times == sorted(times)


@pytest.mark.integration
async def test_lines_survive_a_killed_server(ledger: Ledger, start_runner: Any, nats_server: NatsServer) -> None:
    await start_runner()
    run = await ledger.submit("lines", {"count": LINES, "seconds": 3.0})
    await ledger.begun(run)
    for _ in range(2):
        await asyncio.sleep(0.7)
        await nats_server.restart()
    state = await ledger.end(run)
    assert state.status == "completed", state.error
    records = [r for r in await ledger.signals(run) if r["attempt"] == state.attempt]
    assert [r["message"] for r in records] == [str(n) for n in range(LINES)]
    assert records[-1]["sequence"] == state.signal_sequence
    assert [name for name in await ledger.types(run) if name == "completed"] == ["completed"]


@pytest.mark.integration
async def test_a_crash_loses_only_the_last_moment(ledger: Ledger, start_runner: Any, tmp_path: Path) -> None:
    await start_runner()
    run = await ledger.submit("lines", {"count": 3000, "seconds": 1800})
    async with asyncio.timeout(PATIENCE_S):
        while len(await ledger.signals(run)) < 1000:
            await asyncio.sleep(0.1)
    assert (await ledger.state(run)).status == "running"
    assert [r["message"] for r in await ledger.signals(run)] == [str(n) for n in range(1000)]


@pytest.mark.integration
async def test_after_a_long_absence_stored_chunks_are_recognised(ledger: Ledger, nats_server: NatsServer) -> None:
    """The server has forgotten the message ids, and the acknowledgements of three of five chunks were lost."""
    await ensure_streams(ledger.nc, Limits(duplicate_window_s=1))
    run = AggregateId("default", "run", "0" * 32)
    before = SignalPublisher(nats_server.url, "test", SystemClock())
    await before.start()
    earlier = before.stream(run.workspace, run.id, 1)
    for number in range(3):
        await earlier.put("log", b'[{"time":1,"message":"%d"}]' % number)
    assert await earlier.settled() == 3
    await before.close()
    await asyncio.sleep(1.5)
    again = SignalPublisher(nats_server.url, "test", SystemClock(), trusted_s=0.0)
    stream = again.stream(run.workspace, run.id, 1)
    for number in range(5):
        chunk = again.chunk(stream, number + 1, "log", b'[{"time":1,"message":"%d"}]' % number)
        again._window[chunk.id] = chunk
        again._unacked_bytes += len(chunk.payload)
        stream.unacked += 1
        stream._settled.clear()
    await again.start()
    assert await stream.settled() == 5
    assert again._unacked_bytes == 0
    await again.close()
    assert [r["message"] for r in await ledger.signals(run)] == ["0", "1", "2", "3", "4"]


class Sink:
    def __init__(self) -> None:
        self.chunks: list[tuple[str, int, bytes]] = []
        self.wakes = 0

    def send(self, kind: str, count: int, records: bytes) -> None:
        self.chunks.append((kind, count, records))

    def wake(self) -> None:
        self.wakes += 1


def test_a_chunk_is_full_by_records_or_by_bytes() -> None:
    sink = Sink()
    recorder = Recorder(sink.send, sink.wake)
    for number in range(CHUNK_RECORDS):
        recorder.log(Log(number, message="short"))
    assert [(kind, count) for kind, count, _ in sink.chunks] == [("log", CHUNK_RECORDS)]
    for number in range(100):
        recorder.log(Log(number, message="x" * 10_000))
    recorder.flush()
    assert sum(count for _, count, _ in sink.chunks) == CHUNK_RECORDS + 100
    assert max(len(records) for _, _, records in sink.chunks) <= 2 * CHUNK_BYTES + 1000


def test_one_wake_for_many_records() -> None:
    sink = Sink()
    recorder = Recorder(sink.send, sink.wake)
    for number in range(10):
        recorder.log(Log(number, message="m"))
    assert sink.wakes == 1
    recorder.flush()
    recorder.log(Log(11, message="m"))
    assert sink.wakes == 2


def test_lone_surrogates_do_not_take_their_neighbours_with_them() -> None:
    sink = Sink()
    recorder = Recorder(sink.send, sink.wake)
    recorder.log(Log(1, message="good"))
    recorder.log(Log(2, message="bad \ud800"))
    recorder.flush()
    assert b'"good"' in sink.chunks[0][2]
    assert b'"bad ?"' in sink.chunks[0][2]


def test_long_messages_are_cut_visibly() -> None:
    cut = bounded_text("x" * MAX_RECORD_BYTES)
    assert len(cut) < MAX_RECORD_BYTES
    assert cut.endswith("more characters]")
    assert bounded_text("short") == "short"

"""Sealed facts are verified like the others, and a segment that somebody edited is damage like any other."""

from __future__ import annotations

import asyncio
import gzip
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.audit.test_stack import Running
from trialbook_deploy.stack import Stack

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(300)]
RUNS = 6
WAIT_S = 90.0


async def _state(http: httpx.AsyncClient) -> dict[str, Any]:
    """The ledger's state once it is known."""
    async with asyncio.timeout(WAIT_S):
        while True:
            state: dict[str, Any] = (await http.get("/v1/ledger")).json()["ledger"]
            if state["state"] != "verifying":
                return state
            await asyncio.sleep(0.1)


async def _fill(running: Running) -> int:
    """Finished runs; returns the size of the ledger."""
    await running.work(RUNS)
    async with asyncio.timeout(WAIT_S):
        while len((await running.http.get("/v1/runs?status=completed")).json()["items"]) < RUNS:
            await asyncio.sleep(0.1)
    return (await running.said()).size


async def test_segments_are_part_of_the_proof(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with Stack(data) as stack:
        running = Running(stack, tmp_path)
        size = await _fill(running)
        code, text = await running.cli("seal", "--before", str(size))
        assert code == 0, text
        await running.http.aclose()
    async with Stack(data) as stack:
        running = Running(stack, tmp_path)
        state = await _state(running.http)
        assert (state["state"], state["checked"]) == ("verified", state["total"]), state
        code, text = await running.cli("audit", "verify", "--live")
        assert code == 0, text
        await running.http.aclose()
    _edit(next((data / "segments").rglob("*.ndjson.gz")))
    async with Stack(data) as stack:
        running = Running(stack, tmp_path)
        state = await _state(running.http)
        assert state["state"] == "damaged"
        assert any(one["kind"] == "unreadable" and one["sequence"] == 1 for one in state["findings"]), state
        assert (await running.http.get("/v1/runs")).json()["code"] == "ledger_damaged"
        await running.http.aclose()


async def test_a_verdict_that_the_server_lost_is_seen_although_its_segment_has_it(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with Stack(data) as stack:
        running = Running(stack, tmp_path)
        code, text = await running.cli("seal", "--before", str(await _fill(running)))
        assert code == 0, text
        await running.http.aclose()
    (block,) = (data / "nats").rglob("FACTS/msgs/*.blk")
    written = bytearray(block.read_bytes())
    written[written.index(b'"type":"run.completed') + 10] ^= 1
    block.write_bytes(written)
    async with Stack(data) as stack:
        running = Running(stack, tmp_path)
        state = await _state(running.http)
        assert state["state"] == "damaged"
        assert [one["kind"] for one in state["findings"]] == ["lost"], state
        assert (await running.http.get("/v1/runs")).json()["code"] == "ledger_damaged"
        await running.http.aclose()


def _edit(segment: Path) -> None:
    """Change what a run was given, as somebody with a text editor would."""
    text = gzip.decompress(segment.read_bytes())
    assert b'"noop"' in text
    segment.write_bytes(gzip.compress(text.replace(b'"noop"', b'"evil"', 1)))

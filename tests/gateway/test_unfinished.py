"""Parts of uploads that are not finished: bounded by workspace, whoever took them, and freed again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from nats.aio.client import Client

from tests.gateway.test_direct import command
from trialbook.blobs import parts as stored
from trialbook.blobs.parts import PART_BYTES, NatsParts
from trialbook.clock import FixedClock
from trialbook.errors import RateLimited
from trialbook.ids import UUIDv7Source
from trialbook_gateway.unfinished import AGAIN_S, FRESH_S, Unfinished

pytestmark = pytest.mark.integration
MOST = 3


class Gateway:
    """One gateway's view of a workspace of its own."""

    def __init__(self, nc: Client, workspace: str, clock: FixedClock) -> None:
        self.parts, self.workspace, self.clock = NatsParts(nc), workspace, clock
        self.unfinished = Unfinished(self.parts, clock, MOST * PART_BYTES + 1)

    async def put(self, number: int, upload: str = "u") -> bool:
        try:
            await self.unfinished.put(self.workspace, upload, number, b"x")
        except RateLimited:
            return False
        return True

    async def later(self, seconds: float) -> None:
        self.clock.set(self.clock.now() + timedelta(seconds=seconds + 0.1))


@pytest.fixture
async def gateway(nc: Client) -> AsyncIterator[Gateway]:
    made = Gateway(nc, f"w{UUIDv7Source().new()}", FixedClock())
    yield made
    for upload in ("u", "v"):
        await made.parts.remove(made.workspace, upload)


async def test_a_workspace_has_so_many_parts_and_no_more(nc: Client, gateway: Gateway) -> None:
    assert [await gateway.put(number) for number in range(5)] == [True, True, True, False, False]
    assert not await gateway.put(0), "one that is sent again takes its place anew"
    assert await Gateway(nc, "another", FixedClock()).put(0)
    await NatsParts(nc).remove("another", "u")
    assert await gateway.parts.count(gateway.workspace) == MOST


async def test_as_many_at_once_are_taken_as_there_is_room_for(gateway: Gateway) -> None:
    taken = await asyncio.gather(*(gateway.put(number) for number in range(20)))
    assert sum(taken) == MOST
    assert await gateway.parts.count(gateway.workspace) == MOST


async def test_what_a_gateway_took_that_was_killed_counts_for_the_next(nc: Client, gateway: Gateway) -> None:
    assert await gateway.put(0)
    assert await gateway.put(0, "v")
    after = Gateway(nc, gateway.workspace, FixedClock())
    assert [await after.put(number) for number in range(1, 4)] == [True, False, False]
    assert await gateway.put(1), "it has not heard of the other's part yet"
    await gateway.later(FRESH_S)
    assert not await gateway.put(2)


async def test_what_is_forgotten_frees_its_place(gateway: Gateway) -> None:
    assert all([await gateway.put(0), await gateway.put(1), await gateway.put(0, "v")])
    assert not await gateway.put(2)
    await gateway.unfinished.remove(gateway.workspace, "u")
    assert all([await gateway.put(0), await gateway.put(1)])
    assert not await gateway.put(2)
    assert await gateway.parts.count(gateway.workspace) == MOST


async def test_what_has_expired_frees_its_place(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "LIFE_S", 1)
    assert [await gateway.put(number) for number in range(4)] == [True, True, True, False]
    async with asyncio.timeout(60):
        while not await gateway.put(4):
            await gateway.later(AGAIN_S)
            await asyncio.sleep(0.1)


@pytest.mark.usefixtures("actor")
async def test_over_nats_it_is_a_refusal_that_says_what_to_do(nc: Client) -> None:
    answers = [await command(nc, f"file.part.flood.{number}", b"x") for number in range(65)]  # 64 are allowed
    assert "result" in answers[0]
    error = answers[-1]["error"]
    assert (error["kind"], error["code"]) == ("rate_limited", "unfinished_uploads")
    assert "file.abort" in error["detail"]
    assert (await command(nc, "file.abort", {"upload": "flood"}))["result"] is None
    order = {"upload": "flood", "parts": 1, "size": 1, "sha256": "0" * 64, "name": "a"}
    assert (await command(nc, "file.upload", order))["error"]["code"] == "part_missing"
    assert (await command(nc, "file.abort", {"upload": "flood"}))["result"] is None, "it can be repeated"
    assert (await command(nc, "file.abort", {"upload": "a.b"}))["error"]["code"] == "validation_failed"
    assert "result" in await command(nc, "file.part.flood.0", b"x")
    assert (await command(nc, "file.abort", {"upload": "flood"}))["result"] is None

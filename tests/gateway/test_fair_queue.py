from __future__ import annotations

import asyncio
from functools import partial

import pytest

from trialbook.errors import RateLimited, Unavailable
from trialbook_gateway.direct import fair_queue
from trialbook_gateway.direct.fair_queue import Bounds, FairQueue


class Work:
    """Notes what was begun, and ends when it is let go."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.gate = asyncio.Semaphore(0)

    async def __call__(self, name: str) -> None:
        self.begun.append(name)
        await self.gate.acquire()

    async def let_go(self, number: int = 1) -> None:
        for _ in range(number):
            self.gate.release()
        for _ in range(20):
            await asyncio.sleep(0)


def bounds(open_: int = 2, waiting: int = 3, bytes_: int = 100, total: int = 3) -> Bounds:
    return Bounds(open=open_, waiting=waiting, bytes=bytes_, total=total)


async def test_users_take_turns() -> None:
    work, queue = Work(), FairQueue(bounds(total=1))
    for name in ("a1", "a2", "a3", "b1", "c1"):
        queue.offer(name[0], 1, partial(work, name))
    for _ in range(5):
        await work.let_go()
    assert work.begun == ["a1", "a2", "b1", "c1", "a3"]
    await queue.drain(1)


async def test_one_user_has_so_much_open_and_so_much_waiting() -> None:
    work, queue = Work(), FairQueue(bounds())
    for number in range(5):
        queue.offer("a", 1, partial(work, f"a{number}"))
    with pytest.raises(RateLimited) as refused:
        queue.offer("a", 1, partial(work, "a5"))
    assert (refused.value.code, refused.value.extra) == ("too_many_requests", {"retry_after_s": 1})
    queue.offer("b", 1, partial(work, "b0"))
    await work.let_go(0)
    assert work.begun == ["a0", "a1", "b0"]
    await work.let_go()
    queue.offer("a", 1, partial(work, "a5"))
    await work.let_go(10)
    assert work.begun == ["a0", "a1", "b0", "a2", "a3", "a4", "a5"]
    assert queue.users == 0, "nothing is kept of those who have nothing here"


async def test_bytes_are_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    work, queue = Work(), FairQueue(bounds(open_=1, waiting=9))
    queue.offer("a", 500, partial(work, "a0"))  # alone, anything may pass
    queue.offer("a", 60, partial(work, "a1"))
    with pytest.raises(RateLimited):
        queue.offer("a", 60, partial(work, "a2"))
    monkeypatch.setattr(fair_queue, "TOTAL_BYTES", 100)
    queue.offer("b", 1, partial(work, "b0"))
    with pytest.raises(Unavailable) as refused:
        queue.offer("b", 60, partial(work, "b1"))
    assert refused.value.code == "overloaded"
    await work.let_go(9)
    assert work.begun == ["a0", "b0", "a1"]
    await queue.drain(1)


async def test_a_drain_ends_in_time() -> None:
    work, queue = Work(), FairQueue(bounds())
    queue.offer("a", 1, partial(work, "a0"))
    async with asyncio.timeout(10):
        await queue.drain(0.05)
    await work.let_go()

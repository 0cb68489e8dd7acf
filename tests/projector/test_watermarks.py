"""Waiting for positions."""

from __future__ import annotations

import asyncio

import pytest

from trialbook.errors import Unavailable
from trialbook_projector.tables.store import Positions
from trialbook_projector.watermarks import Watermarks


async def test_both_positions_reached_by_one_step_end_the_wait() -> None:
    marks = Watermarks(Positions(0, 0))
    waiting = asyncio.create_task(marks.wait(3, 5, timeout_s=60))
    await asyncio.sleep(0)
    marks.advance(Positions(3, 5))
    await waiting


async def test_waiters_are_served_in_the_order_of_their_positions() -> None:
    marks = Watermarks(Positions(0, 0))
    tasks = [asyncio.create_task(marks.wait(n, 0, timeout_s=60)) for n in (3, 1, 2)]
    await asyncio.sleep(0)
    marks.advance(Positions(2, 0))
    await asyncio.sleep(0.01)
    assert [t.done() for t in tasks] == [False, True, True]
    marks.advance(Positions(3, 0))
    await asyncio.gather(*tasks)


async def test_a_wait_ends_in_time() -> None:
    marks = Watermarks(Positions(1, 1))
    with pytest.raises(Unavailable, match="has not applied"):
        await marks.wait(2, 0, timeout_s=0.01)

"""What a pool does with attempts that do not hear that they are to end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from trialbook_runner import claim


class Deaf:
    """Loses the first cancellation, as a request does whose reply comes at the same time."""

    def __init__(self) -> None:
        self.lost = 0

    async def handle(self, _entry: Any) -> None:
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if self.lost:
                    raise
                self.lost += 1


class Held:
    """Leases of entries that are nobody's any more."""

    def fresh(self, _entry: Any) -> bool:
        return False

    def release(self, _entry: Any) -> None:
        """Nothing is kept."""


async def test_a_lost_cancellation_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claim, "CANCEL_AGAIN_S", 0.02)
    deaf, held = Deaf(), Held()
    anything: Any = None
    pool = claim.Pool(anything, "p", 1, held, anything, deaf.handle)  # type: ignore[arg-type]
    task = asyncio.create_task(pool._execute_and_release(anything))
    pool._tasks.add(task)
    task.add_done_callback(pool._ended)
    await asyncio.sleep(0)
    async with asyncio.timeout(60):
        await pool.abandon()
    assert (deaf.lost, task.cancelled(), pool.busy) == (1, True, 0)

from __future__ import annotations

import asyncio

from trialbook.tasks import ended


async def test_a_task_that_forgets_its_cancellation_is_ended_all_the_same() -> None:
    forgot = asyncio.Event()

    async def forgetful() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            forgot.set()  # as wait_for does when the reply comes in the same moment
        await asyncio.Event().wait()

    async def failing() -> None:
        raise ValueError

    tasks = [asyncio.create_task(forgetful()), asyncio.create_task(failing())]
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await ended(None, *tasks)
    assert forgot.is_set()
    assert tasks[0].cancelled()
    assert isinstance(tasks[1].exception(), ValueError)

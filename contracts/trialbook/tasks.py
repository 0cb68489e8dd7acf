"""Ending background tasks for certain."""

from __future__ import annotations

import asyncio
from typing import Any

AGAIN_S = 0.5


async def ended(*tasks: asyncio.Task[Any] | None) -> None:
    """Cancel tasks until they have ended; what they raised is for whoever waited for them, and lost if nobody did.

    Once is not enough: ``asyncio.wait_for`` of Python 3.11, by which NATS requests wait, gives the reply and forgets
    the cancellation when both come at once, and the task would wait for whatever it does next.
    """
    known = [task for task in tasks if task is not None]
    left = {task for task in known if not task.done()}
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=AGAIN_S)
    await asyncio.gather(*known, return_exceptions=True)

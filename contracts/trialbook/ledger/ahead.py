"""Have the next piece made while one is used."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

T = TypeVar("T")
CANCEL_S = 0.1


@asynccontextmanager
async def ahead(pieces: AsyncIterator[T]) -> AsyncIterator[AsyncIterator[T]]:
    """Gives the pieces; while one is used, two more are made. What making them raises is raised in its turn."""
    queue: asyncio.Queue[tuple[T] | BaseException | None] = asyncio.Queue(maxsize=1)

    async def make() -> None:
        try:
            async for piece in pieces:
                await queue.put((piece,))
        except Exception as error:  # noqa: BLE001 -- raised where the pieces are used
            await queue.put(error)
        else:
            await queue.put(None)

    async def take() -> AsyncIterator[T]:
        while (found := await queue.get()) is not None:
            if isinstance(found, BaseException):
                raise found
            yield found[0]

    making = asyncio.create_task(make())
    try:
        yield take()
    finally:
        while not making.done():
            making.cancel()
            await asyncio.wait([making], timeout=CANCEL_S)

"""From synchronous code into an event loop of its own: what makes ``Client`` a façade and not a second client."""

from __future__ import annotations

import asyncio
import functools
import sys
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import Future
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
READ_AHEAD_ITEMS = 1024


class Portal:
    """An event loop on a daemon thread; ``call`` may be used from any number of threads."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="trialbook-client", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        finally:
            self._loop.close()

    def call(self, work: Coroutine[Any, Any, R]) -> R:
        """Run ``work`` to its end and give its result or raise its exception. An interrupt cancels it."""
        if threading.get_ident() == self._thread.ident or self.closed:
            work.close()
            raise RuntimeError("This client is closed, or was called from its own loop; use AsyncClient there.")
        future: Future[R] = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def iterate(self, items: AsyncIterator[R]) -> Iterator[R]:
        """The items one by one; leaving the loop early closes the asynchronous iterator."""
        batches = _batches(items)

        async def following() -> list[R] | None:
            return await anext(batches, None)

        try:
            while (batch := self.call(following())) is not None:
                yield from batch
        finally:
            # At the end of the program the loop's thread is gone already, and waiting for it would never end.
            if not self.closed and not sys.is_finalizing():
                self.call(batches.aclose())

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._loop.is_closed()

    def close(self) -> None:
        """Stop the loop and wait for its thread."""
        if not self.closed:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()


class _End:
    """Behind the last item, with what ended the iteration unless that was its end."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error


async def _batches(items: AsyncIterator[R]) -> AsyncGenerator[list[R], None]:
    """What is there already in one piece: a change of threads costs more than an item."""
    queue: asyncio.Queue[R | _End] = asyncio.Queue(maxsize=READ_AHEAD_ITEMS)
    reading = asyncio.create_task(_read(items, queue))
    try:
        while True:
            found = [await queue.get()]
            while not queue.empty():
                found.append(queue.get_nowait())
            ready = [item for item in found if not isinstance(item, _End)]
            if ready:
                yield ready
            end = found[-1]
            if isinstance(end, _End):
                if end.error is not None:
                    raise end.error
                return
    finally:
        reading.cancel()
        await asyncio.wait((reading,))
        if isinstance(items, AsyncGenerator):
            await items.aclose()


async def _read(items: AsyncIterator[R], queue: asyncio.Queue[R | _End]) -> None:
    error: Exception | None = None
    try:
        async for item in items:
            await queue.put(item)
    except Exception as caught:  # noqa: BLE001 -- raised again where the items are read
        error = caught
    await queue.put(_End(error))


class Facade:
    """Who has blocking methods: the asynchronous original and the portal into its loop."""

    def __init__(self, original: Any, portal: Portal) -> None:
        self._original = original
        self._portal = portal


class Blocking(Generic[P, R]):
    """Class attribute: the asynchronous method of the original, waited for. Types and docstring are the original's."""

    def __init__(self, method: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]]) -> None:
        self._method = method

    def __get__(self, facade: Facade, owner: type[Any]) -> Callable[P, R]:
        """The method of one façade."""

        @functools.wraps(self._method)
        def blocking(*args: P.args, **kwargs: P.kwargs) -> R:
            return facade._portal.call(self._method(facade._original, *args, **kwargs))

        return blocking


class Iterating(Generic[P, R]):
    """Class attribute: the asynchronous iterator of the original as a plain one. Close it, or read it to its end."""

    def __init__(self, method: Callable[Concatenate[Any, P], AsyncIterator[R]]) -> None:
        self._method = method

    def __get__(self, facade: Facade, owner: type[Any]) -> Callable[P, Iterator[R]]:
        """The method of one façade."""

        @functools.wraps(self._method)
        def iterating(*args: P.args, **kwargs: P.kwargs) -> Iterator[R]:
            return facade._portal.iterate(self._method(facade._original, *args, **kwargs))

        return iterating

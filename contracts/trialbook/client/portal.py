"""From synchronous code into an event loop of its own: what makes ``Client`` a façade and not a second client."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import Future
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


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
        ended: Any = object()

        async def following() -> R:
            return await anext(items, ended)

        try:
            while (item := self.call(following())) is not ended:
                yield item
        finally:
            close = getattr(items, "aclose", None)
            if close is not None and not self.closed:
                self.call(close())

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._loop.is_closed()

    def close(self) -> None:
        """Stop the loop and wait for its thread."""
        if not self.closed:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()


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

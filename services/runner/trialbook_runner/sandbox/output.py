"""What a program prints: handed on as it comes, never more than allowed, never faster than it is taken."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from trialbook_runner.sandbox.types import OnOutput, Stream

CHUNK = 64 * 1024


class Output:
    """Counts both streams of a program together."""

    def __init__(self, limit: int, on_output: OnOutput, on_excess: Callable[[], None]) -> None:
        """``on_excess`` is called once, when more than ``limit`` bytes came."""
        self._limit, self._on_output, self._on_excess = limit, on_output, on_excess
        self.taken = 0
        """Bytes handed on."""
        self._exceeded = False

    async def pump(self, stream: Stream, reader: asyncio.StreamReader) -> None:
        """Hand on until the end of the stream, then return. What comes after the limit is read and dropped."""
        while data := await reader.read(CHUNK):
            allowed = data[: self._limit - self.taken]
            self.taken += len(allowed)
            if len(allowed) < len(data) and not self._exceeded:
                self._exceeded = True
                self._on_excess()
            if allowed:
                await self._on_output(stream, allowed)

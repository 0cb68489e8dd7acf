"""The facts of a long ledger, read and folded part by part in processes of their own and written here, in order.

A part's runs are folded where they begin. What only the tables can tell, runs that began in an earlier part above all,
comes back as it is and is folded here, as are whole parts that a helper could not do.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import msgspec

from trialbook.errors import Unavailable
from trialbook.log.tail import Message
from trialbook_projector.part import LENGTH_BYTES
from trialbook_projector.tables.bulk import Bulk
from trialbook_projector.tables.part import Folded

PART_FACTS = 20_000
"""A helper takes 100 MB for itself and 4 KB per fact."""
LEAST_FACTS = 8 * PART_FACTS
"""Fewer are done before helpers have started."""
MOST_HELPERS = 4
ENDED = "A process that helps with the build has ended."

Plainly = Callable[[int, int], Awaitable[None]]
"""Apply the facts after a position up to another in this process."""
Ensure = Callable[[Sequence[Message]], Awaitable[None]]
"""Have the keys of messages at hand."""


async def apply_in_parts(bulk: Bulk, url: str, after: int, up_to: int, ensure: Ensure, plainly: Plainly) -> None:
    """Apply all facts after a position up to another. Raises ``Unavailable`` when a helper fails."""
    parts = [(start, min(start + PART_FACTS, up_to)) for start in range(after, up_to, PART_FACTS)]
    count = min(max(2, os.cpu_count() or 1), MOST_HELPERS)
    async with _helpers(url, count) as helpers:
        for helper, part in zip(helpers, parts, strict=False):
            helper.ask(*part)
        for number, part in enumerate(parts):
            helper = helpers[number % count]
            folded = await asyncio.to_thread(helper.answer)
            if number + count < len(parts):
                helper.ask(*parts[number + count])
            if folded is None:
                await asyncio.to_thread(bulk.settle)
                await plainly(*part)
                await asyncio.to_thread(bulk.settle)
                continue
            rest = folded.messages()
            await ensure(rest)
            await asyncio.to_thread(bulk.put_folded, folded, rest)
    await asyncio.to_thread(bulk.settle)


class _Helper:
    """One process; a part at a time."""

    def __init__(self, url: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "trialbook_projector.part"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env={**os.environ, "TRIALBOOK_NATS_URL": url},
        )  # fmt: skip

    def ask(self, after: int, up_to: int) -> None:
        """Let it begin with a part. Raises ``Unavailable`` when it has ended."""
        assert self._process.stdin is not None, "it was started with pipes"
        try:
            self._process.stdin.write(f"{after} {up_to}\n".encode())
            self._process.stdin.flush()
        except OSError as error:
            raise Unavailable("rebuild_failed", ENDED) from error

    def answer(self) -> Folded | None:
        """The part that was asked for; None when it cannot be folded by itself. Blocking. Raises ``Unavailable``."""
        assert self._process.stdout is not None, "it was started with pipes"
        head = self._process.stdout.read(LENGTH_BYTES)
        size = int.from_bytes(head)
        block = self._process.stdout.read(size)
        if len(head) < LENGTH_BYTES or len(block) < size:
            raise Unavailable("rebuild_failed", ENDED)
        return msgspec.msgpack.decode(block, type=Folded) if block else None

    def end(self) -> None:
        """Stop it, whatever it does. Blocking."""
        self._process.kill()
        with self._process:
            pass


@asynccontextmanager
async def _helpers(url: str, count: int) -> AsyncIterator[list[_Helper]]:
    helpers = [_Helper(url) for _ in range(count)]
    try:
        yield helpers
    finally:
        for helper in helpers:
            await asyncio.to_thread(helper.end)

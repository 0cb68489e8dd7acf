"""R2: facts per second in a rebuild of ten million facts; as T7, with ten times the ledger, measured once.

The bare part: that of T7, messages per second of the same stream pulled over one socket, without decoding.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks.model import Measure, Options, Target
from benchmarks.targets import t07

TARGET = Target(key="R2", title="rebuild from ten million facts", unit="facts/s", target=None, better="more", once=True)


@asynccontextmanager
async def prepare(options: Options) -> AsyncIterator[Measure]:
    """A stack whose ledger is very full."""
    async with t07.filled(options.size(3_333_334, 33_334)) as measure:
        yield measure

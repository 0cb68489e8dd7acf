"""A2: milliseconds for an inclusion proof of a random fact among ten million, from tiles on disk.

The leaves are random, which makes no difference to a tree. ``bytes`` is the size of such a proof; ``consistency_ms``
and ``consistency_bytes`` are those of a proof from a random size to ten million; ``verify_us`` is what checking an
inclusion proof takes, ``build_us`` the time per leaf in which the tiles were written.

The bare part: reading the three tiles that a proof is made from.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

from benchmarks.model import Goal, Measure, Options, Sample, Target
from trialbook.audit import merkle
from trialbook.audit.tiles import Tile, hashes
from trialbook_projector.ledger.files import TileWriter

TARGET = Target(
    key="A2", title="proof among ten million facts", unit="ms", target=10.0, better="less",
    goals=(Goal("bytes", 1024),),
)  # fmt: skip
AT_ONCE = 1 << 16
PROOFS = 200


def build(folder: Path, size: int) -> TileWriter:
    """Tiles over random leaves."""
    files = TileWriter(folder)
    while files.size < size:
        files.append(hashes(os.urandom(32 * min(AT_ONCE, size - files.size))))
    return files


def _median_ms(work: Callable[[int], object], picked: list[int]) -> float:
    spent = []
    for one in picked:
        start = time.perf_counter()
        work(one)
        spent.append(time.perf_counter() - start)
    return statistics.median(spent) * 1000


def _measure(files: TileWriter, size: int, build_us: float) -> Sample:
    chance = Random(7)  # noqa: S311 - any will do
    picked = [chance.randrange(1, size) for _ in range(PROOFS)]
    root = files.head(size)

    def tiles(index: int) -> None:
        for level in range(3):
            number = index >> 8 * (level + 1)
            files.read(Tile(level, number, min(256, (size >> 8 * level) - number * 256)))

    def check(index: int) -> None:
        assert merkle.verify_inclusion(files.span(index + 1, index + 1), index, size, path, root)

    bare = _median_ms(tiles, picked)
    included = _median_ms(lambda index: merkle.inclusion(index, size, files.tree(size)), picked)
    grown = _median_ms(lambda first: merkle.consistency(first, size, files.tree(size)), picked)
    path = merkle.inclusion(picked[0], size, files.tree(size))
    longest = max(len(merkle.consistency(first, size, files.tree(size))) for first in picked)
    more = {
        "bytes": 32.0 * len(path), "consistency_ms": grown, "consistency_bytes": 32.0 * longest,
        "verify_us": _median_ms(check, picked[:1] * PROOFS) * 1000, "build_us": build_us,
    }  # fmt: skip
    return Sample(value=included, bare=bare, more=more)


@asynccontextmanager
async def prepare(options: Options) -> AsyncIterator[Measure]:
    """The tiles."""
    size = options.size(10_000_000, 1_000_000)
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        files = await asyncio.to_thread(build, Path(folder), size)
        build_us = (time.perf_counter() - start) / size * 1e6

        async def measure() -> Sample:
            return await asyncio.to_thread(_measure, files, size, build_us)

        try:
            yield measure
        finally:
            files.close()

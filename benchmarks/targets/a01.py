"""A1: facts per second of a verification of the whole ledger: read, hash, compare, add up, check the signed head.

A million facts of 333,334 runs are in the stream and in tiles. ``keep_us`` is the CPU time per fact of the keeper,
which hashes what the projector reads and writes it to tiles (with an fsync for 5,000 facts); ``keep_share`` is that as
a part of the time which reading the same facts takes by itself.

The bare part: messages per second of the same stream pulled over one socket and cut into messages, without decoding.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks import local
from benchmarks.loaders import facts_of_runs, load_facts, template
from benchmarks.model import Measure, Options, Sample, Target
from benchmarks.targets.t07 import read_all
from trialbook import subjects
from trialbook.audit.leaf import leaf_hashes
from trialbook.log.bulk import read_stream
from trialbook.log.connect import connect
from trialbook.streams import FACTS
from trialbook_projector.ledger.files import TileWriter
from trialbook_projector.ledger.verifying import Task, verify

TARGET = Target(key="A1", title="verification of the ledger", unit="facts/s", target=None, better="more")
BATCH = 5000


async def keep(url: str, folder: Path, last: int) -> float:
    """Fill the tiles from the stream; CPU seconds of hashing and writing."""
    files, spent = TileWriter(folder), 0.0
    waiting: list[tuple[int, str, bytes]] = []
    async for batch in read_stream(url, FACTS, [subjects.FACTS_ALL], 0, last):
        waiting += [(message.sequence, message.subject, message.data) for message in batch]
        if len(waiting) >= BATCH or waiting[-1][0] == last:
            start = time.process_time()
            files.append(leaf_hashes(waiting))
            spent += time.process_time() - start
            waiting.clear()
    files.close()
    return spent


@asynccontextmanager
async def prepare(options: Options) -> AsyncIterator[Measure]:
    """A stack whose ledger is full."""
    runs = options.size(333_334, 33_334)
    completed = await template("completed")
    async with local.stack() as running:
        url = running.nats_url
        last = await asyncio.to_thread(load_facts, url, facts_of_runs(lambda _: completed, range(runs)))
        nc = await connect(url, name="benchmark")

        async def measure() -> Sample:
            bare = await asyncio.to_thread(read_all, url, last)
            with tempfile.TemporaryDirectory() as folder:
                kept = await keep(url, Path(folder), last) / last
                task = Task(url=url, folder=folder, size=last, keys=[], origin="none")
                start = time.perf_counter()
                outcome = await verify(nc, task, lambda _: None)
                seconds = time.perf_counter() - start
            assert outcome.facts == last, outcome
            more = {"keep_us": kept * 1e6, "keep_share": kept * bare}
            return Sample(value=last / seconds, bare=bare, more=more)

        try:
            yield measure
        finally:
            await nc.close()

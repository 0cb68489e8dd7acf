"""X1: facts per second of ``trialbook export`` from a running stack into a folder.

A million facts of 333,334 runs are in the stream. They are read with their headers, compressed into segments and
written, the signals, checkpoints and blobs (hardly any) after them. ``bytes_per_fact`` is what the files take;
``verified`` the rate at which an import reads and compares them with their digests before it writes anything.

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
from trialbook.ledger.export import Exporter
from trialbook.ledger.export import Options as Chosen
from trialbook.ledger.importing import checked
from trialbook.ledger.manifest import Manifest
from trialbook.ledger.storage import LocalStorage
from trialbook.log.connect import connect
from trialbook.streams import FACTS

TARGET = Target(key="X1", title="export of the ledger", unit="facts/s", target=None, better="more")


async def export(url: str, folder: Path) -> tuple[Manifest, float]:
    """Export everything; the manifest and the seconds that it took."""
    nc = await connect(url, name="benchmark")
    try:
        start = time.perf_counter()
        manifest = await Exporter(nc, url, None, LocalStorage(folder), Chosen()).run()
        return manifest, time.perf_counter() - start
    finally:
        await nc.close()


@asynccontextmanager
async def prepare(options: Options) -> AsyncIterator[Measure]:
    """A stack whose ledger is full."""
    runs = options.size(333_334, 33_334)
    completed = await template("completed")
    async with local.stack() as running:
        last = await asyncio.to_thread(load_facts, running.nats_url, facts_of_runs(lambda _: completed, range(runs)))

        async def measure() -> Sample:
            bare = await asyncio.to_thread(read_all, running.nats_url, last)
            with tempfile.TemporaryDirectory() as folder:
                manifest, seconds = await export(running.nats_url, Path(folder))
                start = time.perf_counter()
                await checked(LocalStorage(Path(folder)))
                verified = last / (time.perf_counter() - start)
            size = sum(segment.bytes for segment in manifest.streams[FACTS].segments) / last
            return Sample(value=last / seconds, bare=bare, more={"bytes_per_fact": size, "verified": verified})

        yield measure

"""X2: facts per second of ``trialbook import`` into an empty installation.

A million facts of 333,334 runs were exported. They are published in atomic batches, each on disk before the next, then
read again and compared with the files; the reading of all digests before is not counted (``verified`` of X1).

The bare part: messages per second that the loader of the benchmarks publishes in atomic batches over a raw socket.
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
from benchmarks.targets.x01 import export
from trialbook.ledger.importing import Importer
from trialbook.ledger.storage import LocalStorage
from trialbook.log.connect import connect
from trialbook_deploy import alone

TARGET = Target(key="X2", title="import of the ledger", unit="facts/s", target=None, better="more")


@asynccontextmanager
async def prepare(options: Options) -> AsyncIterator[Measure]:
    """An export, and what its loading into a stack took."""
    runs = options.size(333_334, 33_334)
    completed = await template("completed")
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder) / "export"
        async with local.stack() as running:
            start = time.perf_counter()
            facts = facts_of_runs(lambda _: completed, range(runs))
            last = await asyncio.to_thread(load_facts, running.nats_url, facts)
            bare = last / (time.perf_counter() - start)
            manifest, _ = await export(running.nats_url, files)

        async def measure() -> Sample:
            with tempfile.TemporaryDirectory() as empty:
                async with alone.server(Path(empty)) as url:
                    nc = await connect(url, name="benchmark")
                    try:
                        start = time.perf_counter()
                        await Importer(nc, url, LocalStorage(files), manifest).run()
                        seconds = time.perf_counter() - start
                    finally:
                        await nc.close()
            return Sample(value=last / seconds, bare=bare)

        yield measure

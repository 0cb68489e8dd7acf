"""T3: facts per second through the command handler: 64 writers, each leading one run after the other through its life.

Submit, claim, checkpoint and complete are four commands, each decided on the folded state and appended with
compare-and-set; concurrent appends share a batch. The writers run in this process against the stack's ledger, while its
other services are up and follow it (``facts`` in their tables at the end is not waited for).

The bare part: atomic batches of 100 messages of about the same size, two at a time, per second times 100.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks.bare import bare_stream, rate
from benchmarks.loaders import POOL, WORKSPACE
from benchmarks.local import stack
from benchmarks.model import Measure, Options, Sample, Target
from trialbook.clock import SystemClock
from trialbook.domain.run import RunSpec
from trialbook.domain.run.commands import Checkpoint, Claim, Complete, Create
from trialbook.envelope import AggregateId, Metadata
from trialbook.handle import Handler, Loaded, fresh
from trialbook.ids import UUIDv7Source
from trialbook.log.connect import connect
from trialbook.log.nats import NatsEventLog

TARGET = Target(
    key="T3", title="facts through the command handler, 64 writers", unit="facts/s", target=10_000, better="more"
)
WRITERS = 64
BATCH = 100
META = Metadata(source="benchmark", actor="benchmark")
SPEC = RunSpec(workload="bench", pool=POOL)


async def one_life(handler: Handler, ids: UUIDv7Source) -> None:
    """Four commands on a new run, each with the state that the last one left."""
    aggregate = AggregateId(WORKSPACE, "run", ids.new())
    known = fresh("run")
    for command in (
        Create(spec=SPEC, ticket="t"),
        Claim(ticket="t", runner="writer"),
        Checkpoint(attempt=1, data={"round": 1}),
        Complete(attempt=1, result={"score": 0.5}),
    ):
        outcome = await handler.handle(aggregate, command, META, known)
        known = Loaded(outcome.state, outcome.sequence)


@asynccontextmanager
async def prepare(options: Options) -> AsyncIterator[Measure]:
    """A stack and a connection to its ledger."""
    seconds = options.size(6, 3)
    async with stack() as running:
        nc = await connect(running.nats_url, name="benchmark")
        log, ids = NatsEventLog(nc), UUIDv7Source()
        await log.start()
        handler = Handler(log, SystemClock(), ids)

        async def measure() -> Sample:
            lives = await rate(lambda _: one_life(handler, ids), WRITERS, seconds)
            async with bare_stream(running.nats_url) as stream:
                batches = await rate(lambda _: stream.batch(BATCH), 2, 3)
            return Sample(value=lives * 4, bare=batches * BATCH)

        try:
            yield measure
        finally:
            await log.close()
            await nc.close()

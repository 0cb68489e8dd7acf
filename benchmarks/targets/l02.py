"""L2: milliseconds per recorded effect on a stack's ledger, one after another on one run, the median.

``RecordEffect`` is decided on the folded state, which keeps every effect so far, and appended with compare-and-set;
the response is about as large as a model's call with its prompt. Further figures: ``over_ms``, the difference to the
bare part; ``last_ms``, the median of the last tenth, when the state holds all the others; ``in_run_ms`` and
``in_run_16_ms``, what one ``ctx.effect`` costs a workload in a process of its own, one at a time and with 16 under way.

The bare part: one publish of as many bytes with the same compare-and-set, waited for.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks.bare import bare_stream, latencies
from benchmarks.loaders import POOL, WORKSPACE
from benchmarks.local import stack, submit, wait_for
from benchmarks.model import Measure, Options, Sample, Target
from benchmarks.stats import p50
from benchmarks.workloads import RESPONSE
from trialbook.clock import SystemClock
from trialbook.codec import encode
from trialbook.domain.run import RunSpec
from trialbook.domain.run.commands import Claim, Create, RecordEffect
from trialbook.envelope import AggregateId, Metadata
from trialbook.handle import Handler, Loaded, fresh
from trialbook.ids import UUIDv7Source
from trialbook.log.connect import connect
from trialbook.log.nats import NatsEventLog
from trialbook_deploy.stack import Stack

TARGET = Target(key="L2", title="recorded effect, one after another, p50", unit="ms", target=None, better="less")
META = Metadata(source="benchmark", actor="benchmark")
PARALLEL = 16
IN_RUN_S = 300.0


class Recording:
    """A claimed run that effects are recorded on."""

    def __init__(self, handler: Handler, ids: UUIDv7Source) -> None:
        self._handler, self._aggregate = handler, AggregateId(WORKSPACE, "run", ids.new())
        self._known = fresh("run")
        self._numbers = itertools.count(1)
        self.fact_bytes = 0

    async def begin(self) -> None:
        """Submit and claim it."""
        await self._append(Create(spec=RunSpec(workload="bench", pool=POOL), ticket="t"))
        await self._append(Claim(ticket="t", runner="writer"))

    async def effect(self) -> None:
        """Record one."""
        key = f"llm/agent/{next(self._numbers)}"
        info = {"kind": "llm", "agent": "agent", "success": True}
        await self._append(RecordEffect(attempt=1, key=key, request_digest="0" * 64, response=RESPONSE, info=info))

    async def _append(self, command: Create | Claim | RecordEffect) -> None:
        outcome = await self._handler.handle(self._aggregate, command, META, self._known)
        self._known = Loaded(outcome.state, outcome.sequence)
        self.fact_bytes = len(encode(outcome.facts[-1]))


async def in_run(stack: Stack, effects: int, parallel: int) -> float:
    """Milliseconds per effect as a workload sees them."""
    run = await submit(stack, "bench-effects", {"effects": effects, "parallel": parallel})
    view = await wait_for(stack, run, timeout_s=IN_RUN_S)
    return float(view["result"])


@asynccontextmanager
async def prepare(options: Options) -> AsyncIterator[Measure]:
    """A stack and a connection to its ledger."""
    count = options.size(2000, 300)
    async with stack() as running:
        nc = await connect(running.nats_url, name="benchmark")
        log, ids = NatsEventLog(nc), UUIDv7Source()
        await log.start()
        handler = Handler(log, SystemClock(), ids)

        async def measure() -> Sample:
            recording = Recording(handler, ids)
            await recording.begin()
            taken = await latencies(recording.effect, count)
            async with bare_stream(running.nats_url) as stream:
                payload = bytes(recording.fact_bytes)
                bare = p50(await latencies(lambda: stream.fact(payload), count))
            more = {
                "over_ms": p50(taken) - bare, "last_ms": p50(taken[-(count // 10) :]),
                "in_run_ms": await in_run(running, count, 1), "in_run_16_ms": await in_run(running, count, PARALLEL),
            }  # fmt: skip
            return Sample(value=p50(taken), bare=bare, more=more)

        try:
            yield measure
        finally:
            await log.close()
            await nc.close()

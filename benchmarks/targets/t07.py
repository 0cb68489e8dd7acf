"""T7: facts per second in a rebuild of the projector's tables from the ledger.

A million facts of 333,334 runs are in the stream. The projector reads the whole stream into a new file beside the live
one; the value is the rate that it reports for the building of that file. Further figures: ``with_comparison``, the rate
over the whole command, which also hashes and compares all tables and swaps the files; ``following``, the rate at which
the live projector took the facts in while they were loaded.

The bare part: messages per second of the same stream pulled over one socket and cut into messages, without decoding.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from benchmarks import local
from benchmarks.loaded import caught_up
from benchmarks.loaders import facts_of_runs, load_facts, template
from benchmarks.model import Measure, Options, Sample, Target
from benchmarks.wire import Wire
from trialbook import subjects
from trialbook.log.connect import connect
from trialbook.queries import Answer
from trialbook.streams import FACTS
from trialbook_deploy.stack import Stack

TARGET = Target(key="T7", title="rebuild from the ledger", unit="facts/s", target=300_000, better="more")
PULL = 20_000
REBUILD_S = 900.0


def read_all(url: str, messages: int) -> float:
    """Messages per second read from the start of the stream."""
    config = {
        "deliver_policy": "all", "ack_policy": "none", "mem_storage": True, "inactive_threshold": 30_000_000_000,
        "name": "benchmark",
    }  # fmt: skip
    body = {"stream_name": FACTS, "config": config, "action": "create"}
    with Wire(url, "_INBOX.benchmark.read") as wire:
        wire.publish(f"$JS.API.CONSUMER.CREATE.{FACTS}.benchmark", msgspec.json.encode(body), reply="created")
        wire.flush()
        while not list(wire.receive()):
            pass
        start = time.perf_counter()
        wanted = got = 0
        pull = msgspec.json.encode({"batch": PULL, "no_wait": True})
        while got < messages:
            while wanted - got <= PULL:
                wire.publish(f"$JS.API.CONSUMER.MSG.NEXT.{FACTS}.benchmark", pull, reply="m")
                wanted += PULL
            wire.flush()
            got += sum(1 for payload in wire.receive() if payload)
        rate = messages / (time.perf_counter() - start)
        wire.publish(f"$JS.API.CONSUMER.DELETE.{FACTS}.benchmark", b"", reply="deleted")
        wire.flush()
        while not any(b"success" in payload for payload in wire.receive()):
            pass
        return rate


class Report(msgspec.Struct):
    """What the projector says about a rebuild."""

    facts: int
    identical: bool
    facts_per_s: float


async def rebuild(stack: Stack) -> tuple[Report, float]:
    """Order a rebuild as ``trialbook rebuild`` does; its report, and the seconds until it came."""
    nc = await connect(stack.nats_url, name="benchmark")
    try:
        start = time.perf_counter()
        reply = await nc.request(subjects.ask("_", subjects.REBUILD), b"{}", timeout=REBUILD_S)
        taken = time.perf_counter() - start
    finally:
        await nc.close()
    answer = msgspec.json.decode(reply.data, type=Answer)
    if answer.result is None:
        raise RuntimeError(f"the rebuild failed: {answer.error}")
    report = msgspec.json.decode(answer.result, type=Report)
    if not report.identical:
        raise RuntimeError("the rebuilt tables differ from the live ones")
    return report, taken


@asynccontextmanager
async def prepare(options: Options) -> AsyncIterator[Measure]:
    """A stack whose ledger is full."""
    async with filled(options.size(333_334, 33_334)) as measure:
        yield measure


@asynccontextmanager
async def filled(runs: int) -> AsyncIterator[Measure]:
    """A stack with so many runs of three facts each."""
    completed = await template("completed")
    async with local.stack() as running:
        facts = facts_of_runs(lambda _: completed, range(runs))
        start = time.perf_counter()
        last = await asyncio.to_thread(load_facts, running.nats_url, facts)
        await caught_up(running, facts=last)
        following = last / (time.perf_counter() - start)

        async def measure() -> Sample:
            bare = await asyncio.to_thread(read_all, running.nats_url, last)
            report, seconds = await rebuild(running)
            more = {"facts": float(report.facts), "with_comparison": report.facts / seconds, "following": following}
            return Sample(value=report.facts_per_s, bare=bare, more=more)

        yield measure

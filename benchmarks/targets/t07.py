"""T7: facts per second in a rebuild of the projector's tables from the ledger.

A million facts of 300,000 runs are in the stream. The rebuild reads the whole stream into a new file, beside the live
one; the time is that from the command to the new file being complete and swapped in.

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
from trialbook.streams import FACTS
from trialbook_deploy.stack import Stack

TARGET = Target(key="T7", title="rebuild from the ledger", unit="facts/s", target=300_000, better="more")
PULL = 20_000


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


async def rebuild(stack: Stack) -> float:
    """Seconds of one rebuild."""
    raise RuntimeError(f"no rebuild yet for {stack.url}")


@asynccontextmanager
async def prepare(options: Options) -> AsyncIterator[Measure]:
    """A stack whose ledger is full."""
    runs = options.size(333_334, 33_334)
    completed = await template("completed")
    async with local.stack() as running:
        facts = facts_of_runs(lambda _: completed, range(runs))
        last = await asyncio.to_thread(load_facts, running.nats_url, facts)
        await caught_up(running, facts=last)

        async def measure() -> Sample:
            bare = await asyncio.to_thread(read_all, running.nats_url, last)
            return Sample(value=last / await rebuild(running), bare=bare)

        yield measure

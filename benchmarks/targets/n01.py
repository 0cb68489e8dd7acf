"""N1: milliseconds from the call that appends a fact to the subscriber of a tap, the median, one fact after another.

The subscriber is a user from outside in an account of its own, as `trialbook nats user add` makes them: the server
carries each fact over from the services' account. ``p99`` of the same; ``tap_p50`` and ``tap_p99``: the user without a
name, in its own account too.

The bare part: the same, heard in the services' own account, where nothing is carried over. All three are measured in
turns, a hundred facts each, with nobody else subscribed.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from time import perf_counter

from nats.aio.client import Client
from nats.aio.msg import Msg

from benchmarks.loaders import WORKSPACE
from benchmarks.local import stack
from benchmarks.model import Goal, Measure, Options, Sample, Target
from benchmarks.stats import p50, p99
from trialbook import credentials, subjects
from trialbook.clock import SystemClock
from trialbook.domain import names
from trialbook.envelope import AggregateId, Metadata
from trialbook.handle import Handler, fresh
from trialbook.ids import UUIDv7Source
from trialbook.log.connect import connect, settled
from trialbook.log.nats import NatsEventLog
from trialbook_deploy.nats_users import Users, reload
from trialbook_deploy.stack import Stack

TARGET = Target(
    key="N1", title="tap latency, append to outside subscriber, p50", unit="ms", target=3.0, better="less",
    goals=(Goal("p99", 10.0),),
)  # fmt: skip
META = Metadata(source="benchmark", actor="benchmark")
TURN = 100
LOST_S = 5.0


class Appending:
    """Appends single facts and says how long each took to a subscriber."""

    def __init__(self, handler: Handler, ids: UUIDv7Source) -> None:
        self._handler, self._ids = handler, ids

    async def turn(self, listener: Client, count: int) -> list[float]:
        """Milliseconds for each of ``count`` facts. Raises ``TimeoutError`` for one that does not come."""
        heard: asyncio.Queue[float] = asyncio.Queue(maxsize=count)

        async def hear(_: Msg) -> None:
            heard.put_nowait(perf_counter())

        subscription = await listener.subscribe(subjects.tap(subjects.facts_of(WORKSPACE, "name")), cb=hear)
        await settled(listener)
        taken = []
        for _ in range(count):
            id_ = self._ids.new()
            claim = names.Claim(scope="benchmark", name=id_, owner=id_)
            began = perf_counter()
            await self._handler.handle(AggregateId(WORKSPACE, "name", id_), claim, META, fresh("name"))
            taken.append(1000 * (await asyncio.wait_for(heard.get(), LOST_S) - began))
        await subscription.unsubscribe()
        return taken


async def _outsider(running: Stack, directory: Path) -> Client:
    users = Users(running.data_dir / "nats")
    seed = directory / "listener.nk"
    seed.write_text(users.add("listener", WORKSPACE, read_only=True)[1])
    await reload(running.state)
    return await credentials.connect(running.tap_url, seed)


@asynccontextmanager
async def prepare(options: Options) -> AsyncIterator[Measure]:
    """A stack with an outside user, and a connection in each account."""
    turns = options.size(20, 4)
    async with AsyncExitStack() as closing:
        running = await closing.enter_async_context(stack())
        directory = Path(closing.enter_context(tempfile.TemporaryDirectory()))
        services = await connect(running.nats_url, name="benchmark")
        log = NatsEventLog(services)
        await log.start()
        closing.push_async_callback(services.close)
        closing.push_async_callback(log.close)
        listeners = {
            "user": await _outsider(running, directory),
            "tap": await connect(running.tap_url, name="tap"),
            "services": await connect(running.nats_url, name="listener"),
        }
        for listener in listeners.values():
            closing.push_async_callback(listener.close)
        ids = UUIDv7Source()
        appending = Appending(Handler(log, SystemClock(), ids), ids)

        async def measure() -> Sample:
            taken: dict[str, list[float]] = {name: [] for name in listeners}
            for _ in range(turns):
                for name, listener in listeners.items():
                    taken[name] += await appending.turn(listener, TURN)
            more = {
                "p99": p99(taken["user"]), "bare_p99": p99(taken["services"]),
                "tap_p50": p50(taken["tap"]), "tap_p99": p99(taken["tap"]),
            }  # fmt: skip
            return Sample(value=p50(taken["user"]), bare=p50(taken["services"]), more=more)

        yield measure

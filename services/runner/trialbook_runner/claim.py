"""Taking queue entries: a pool's free slots are filled from its four priorities, the most urgent first."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg

from trialbook import subjects
from trialbook.clock import Clock
from trialbook.domain.run.spec import PRIORITIES
from trialbook.errors import Unavailable
from trialbook.log.api import ApiError, call_until_ready
from trialbook.log.waiting import start_of
from trialbook.streams import FACTS, NANO
from trialbook_runner.entry import Entry, nak
from trialbook_runner.leases import Leases
from trialbook_runner.pull import Puller

log = logging.getLogger(__name__)
MAX_ACK_PENDING = 20_000
CONSUMER_NOT_FOUND = 10014
TICK_S = 0.25
RETRY_S = 0.25
HELD_S = 5.0
CANCEL_AGAIN_S = 5.0


async def ensure_consumer(nc: Client, pool: str, priority: str, lease_s: float) -> str:
    """Create or update the durable consumer that all runners of a pool share; returns its name.

    Where it begins is decided once (see ``trialbook.log.waiting``): what it has delivered cannot be taken back.
    """
    name = f"queue-{pool}-{priority}"
    config = {
        "durable_name": name,
        "filter_subjects": subjects.queue(pool, priority),
        **await _beginning(nc, name, pool, priority),
        "ack_policy": "explicit",
        "ack_wait": int(lease_s * NANO),
        "max_deliver": -1,
        "max_ack_pending": MAX_ACK_PENDING,
        "max_waiting": 4096,
    }
    body = {"stream_name": FACTS, "config": config}
    await call_until_ready(nc, f"CONSUMER.DURABLE.CREATE.{FACTS}.{name}", body)
    return name


async def _beginning(nc: Client, name: str, pool: str, priority: str) -> dict[str, Any]:
    try:
        present = (await call_until_ready(nc, f"CONSUMER.INFO.{FACTS}.{name}"))["config"]
    except ApiError as error:
        if error.code != CONSUMER_NOT_FOUND:
            raise
        start = start_of(await call_until_ready(nc, f"STREAM.INFO.{FACTS}"), pool, priority)
        if start == 1:
            return {"deliver_policy": "all"}
        return {"deliver_policy": "by_start_sequence", "opt_start_seq": start}
    return {key: present[key] for key in ("deliver_policy", "opt_start_seq") if key in present}


class Pool:
    """The slots of one pool. ``execute`` handles one entry until its end and never raises."""

    def __init__(
        self,
        nc: Client,
        name: str,
        slots: int,
        leases: Leases,
        clock: Clock,
        execute: Callable[[Entry], Awaitable[None]],
    ) -> None:
        self._nc, self.name, self.slots = nc, name, slots
        self._leases, self._clock, self._execute = leases, clock, execute
        self._tasks: set[asyncio.Task[None]] = set()
        self._pullers: list[Puller] = []
        self._changed = asyncio.Event()
        self._open = True
        self.held = False
        """Nothing new is taken for now."""

    @property
    def busy(self) -> int:
        """Slots in use."""
        return len(self._tasks)

    @property
    def free(self) -> int:
        """Slots for new entries; none after ``close`` and while ``held``."""
        return self.slots - len(self._tasks) if self._open and not self.held else 0

    def close(self) -> None:
        """Take nothing more."""
        self._open = False

    async def idle(self) -> None:
        """Until nothing is executed any more."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def abandon(self) -> None:
        """End what is still executed and give its entries back.

        A cancellation can be lost (see ``trialbook.tasks.ended``); it is repeated after what an orderly end takes.
        """
        left = set(self._tasks)
        while left:
            for task in left:
                task.cancel()
            _, left = await asyncio.wait(left, timeout=CANCEL_AGAIN_S)

    async def start(self) -> None:
        """Create what is missing in the server and listen."""
        for priority in PRIORITIES:
            consumer = await self._ensure(priority)
            puller = Puller(self._nc, consumer, self._on_message, self._clock)
            puller.changed = self._changed
            await puller.start()
            self._pullers.append(puller)

    async def run(self) -> None:
        """Fill free slots for ever."""
        while True:
            self._changed.clear()
            if self.free > 0 and self._nc.is_connected:
                try:
                    await self._repair()
                    await self._fill()
                except (Unavailable, ApiError) as error:
                    log.warning("pool %s: %s", self.name, error)
                    await asyncio.sleep(RETRY_S)
            try:
                async with asyncio.timeout(TICK_S):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def _ensure(self, priority: str) -> str:
        return await ensure_consumer(self._nc, self.name, priority, self._leases.lease_s)

    async def _repair(self) -> None:
        """After a refused pull: the server may be starting, or somebody deleted a consumer."""
        for priority, puller in zip(PRIORITIES, self._pullers, strict=True):
            if puller.failed:
                await asyncio.sleep(RETRY_S)
                await self._ensure(priority)
                puller.failed = False

    async def _fill(self) -> None:
        """Take what waits, the most urgent first; when nothing waits, ask for whatever comes."""
        for puller in self._pullers:
            if self.free <= 0:
                return
            if not puller.outstanding and await puller.probe() and self.free > 0:
                await puller.ask(self.free)
        for puller in self._pullers:
            outstanding = puller.outstanding
            # Large pools are topped up in larger steps.
            if outstanding <= self.free // 2:
                await puller.ask(self.free - outstanding)

    async def _on_message(self, message: Msg) -> None:
        entry = Entry(self._nc, message.reply, message.data, self._clock.monotonic())
        ours = self._leases.held(entry.sequence)
        if self._leases.doubtful:
            return
        if ours is not None:
            if self._leases.fresh(ours):
                ours.adopt(message.reply, self._clock.monotonic())
        elif self.free <= 0:
            await self._nc.publish(message.reply, nak(HELD_S if self.held else 0))
        else:
            self._leases.hold(entry)
            task = asyncio.create_task(self._execute_and_release(entry))
            self._tasks.add(task)
            task.add_done_callback(self._ended)

    async def _execute_and_release(self, entry: Entry) -> None:
        try:
            await self._execute(entry)
        except asyncio.CancelledError:
            if self._leases.fresh(entry):
                await asyncio.shield(entry.nak())
            raise
        finally:
            self._leases.release(entry)

    def _ended(self, task: asyncio.Task[None]) -> None:
        full = self.free <= 0
        self._tasks.discard(task)
        if full:
            self._changed.set()
        if not task.cancelled() and task.exception() is not None:
            log.error("pool %s: an entry was not handled", self.name, exc_info=task.exception())

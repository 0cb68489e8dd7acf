"""The composition of a runner and its life: connect, claim, execute, drain."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any

import nats.errors
from nats.aio.client import Client

from trialbook.blobs.nats import NatsBlobStore
from trialbook.clock import SystemClock
from trialbook.handle import Handler
from trialbook.ids import UUIDv7Source
from trialbook.log.connect import close, connect
from trialbook.log.nats import NatsEventLog
from trialbook.log.setup import ensure_streams
from trialbook.process import settle
from trialbook.tasks import ended
from trialbook.vault.keys import master_key
from trialbook.vault.ring import KeyRing
from trialbook_runner.announce import Announcer
from trialbook_runner.attempt import Parts
from trialbook_runner.children import Children
from trialbook_runner.claim import Pool
from trialbook_runner.dispatch import Dispatcher
from trialbook_runner.emit import SignalPublisher
from trialbook_runner.endings import Endings
from trialbook_runner.environment import describe
from trialbook_runner.execute.spawner import Spawner
from trialbook_runner.leases import Leases
from trialbook_runner.ledger import follow_ledger
from trialbook_runner.measurements import Measurements
from trialbook_runner.notices import follow_notices
from trialbook_runner.orphans import Orphans
from trialbook_runner.registry import Registry
from trialbook_runner.sandbox.probe import probe
from trialbook_runner.settings import Settings
from trialbook_runner.strays import kill_children, reap_strays
from trialbook_runner.workdir import Workdirs

log = logging.getLogger(__name__)
CLOSE_S = 1
"""Seconds that each connection gets to say the rest."""
KILL_S = 1.0
"""What is left of the drain time for attempts that did not end: they are killed and given back."""


async def run_app(settings: Settings, registry: Registry, zygote: socket.socket) -> int:
    """Run until SIGTERM or SIGINT; returns the exit code (1: a part of the runner failed, start it again)."""
    settle()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    runner = Runner(settings, registry, zygote)
    try:
        await runner.start()
        return await runner.until(stop)
    finally:
        await runner.close()


class Runner:
    """All parts of one runner."""

    def __init__(self, settings: Settings, registry: Registry, zygote: socket.socket) -> None:
        self._settings, self._registry = settings, registry
        self._id = UUIDv7Source().new()
        self._source = f"trialbook/runner/{settings.name}"
        self._spawner = Spawner(zygote)
        self._clock = SystemClock()
        self._publisher = SignalPublisher(settings.nats_url, self._source, self._clock)
        self._workdirs = Workdirs(settings.data_dir, self._id)
        self._services: list[asyncio.Task[None]] = []
        self._pools: list[Pool] = []
        self._parts_to_close = AsyncExitStack()
        self._parts_to_close.callback(self._workdirs.close)
        self._parts_to_close.callback(self._spawner.close)

    async def start(self) -> None:
        """Connect and begin to claim. Raises ``Unavailable`` when there is no server."""
        settings = self._settings
        closing = self._parts_to_close
        nc, event_log = await self._ledger()
        await self._publisher.start()
        closing.push_async_callback(self._publisher.close)
        handler = Handler(event_log, self._clock, UUIDv7Source())
        outside = Handler(event_log, self._clock, UUIDv7Source(), event_log.read_decisive)
        endings = Endings(nc, event_log, outside)
        closing.push_async_callback(endings.close)
        leases = Leases(nc, self._clock, settings.lease_s)
        blobs = NatsBlobStore(nc)
        self._parts = parts = Parts(
            settings=settings, source=self._source, handler=handler, outside=outside, blobs=blobs,
            environment=await describe(blobs), registry=self._registry,
            publisher=self._publisher, spawner=self._spawner, leases=leases, workdirs=self._workdirs, clock=self._clock,
            children=Children(outside, endings, Measurements(nc), self._registry, self._source), attempts={},
            walls=await asyncio.to_thread(probe, settings.sandbox, settings.sandbox_cgroup),
        )  # fmt: skip
        dispatcher = Dispatcher(parts)
        self._pools = [
            Pool(nc, name, slots, leases, self._clock, dispatcher.handle) for name, slots in settings.pools.items()
        ]
        await asyncio.gather(*(pool.start() for pool in self._pools))
        self._announcer = Announcer(nc, parts, self._id, self._pools)
        closing.push_async_callback(self._stop_services)
        after = await event_log.last_sequence()
        for work in (
            leases.run(), follow_notices(nc, after, parts.attempts), self._announcer.run(), self._fork_server(),
            reap_strays(), Orphans(nc, outside, self._clock, self._source).run(),
            *(pool.run() for pool in self._pools),
        ):  # fmt: skip
            self._serve(work)
        self._serve(follow_ledger(nc, self._pools))
        slots = ", ".join(f"{pool.name}={pool.slots}" for pool in self._pools)
        log.info("runner %s is ready (%s; %d workloads)", settings.name, slots, len(self._registry.workloads))

    async def _ledger(self) -> tuple[Client, NatsEventLog]:
        """The connection and what is written through it, closed at the end."""
        closing = self._parts_to_close
        nc = await connect(self._settings.nats_url, name=self._source)
        closing.push_async_callback(_close_connection, nc)
        await ensure_streams(nc)
        keys = KeyRing(nc, master_key(os.environ))
        await keys.start()
        closing.push_async_callback(keys.close)
        event_log = NatsEventLog(nc, keys)
        await event_log.start()
        closing.push_async_callback(_close_log, event_log)
        return nc, event_log

    def _serve(self, work: Coroutine[Any, Any, None]) -> None:
        self._services.append(asyncio.create_task(work))

    async def _fork_server(self) -> None:
        await self._spawner.lost.wait()
        await kill_children()  # what it left behind are ours now
        raise RuntimeError("the fork server has ended")

    async def until(self, stop: asyncio.Event) -> int:
        """Serve until told to stop, then drain; returns the exit code."""
        stopping = asyncio.create_task(stop.wait())
        done, _ = await asyncio.wait({stopping, *self._services}, return_when=asyncio.FIRST_COMPLETED)
        failed = [task for task in done if task is not stopping]
        for task in failed:
            log.critical("the runner stops because a part of it failed", exc_info=task.exception())
        stopping.cancel()
        await self._drain()
        return 1 if failed else 0

    async def _drain(self) -> None:
        """Let attempts end or pause; give back what did not, so that another runner takes over at once."""
        self._announcer.state = "draining"
        await self._announcer.beat()
        for pool in self._pools:
            pool.close()
        for attempt in list(self._parts.attempts.values()):
            attempt.control.ask_release()
        try:
            async with asyncio.timeout(max(0.0, self._settings.drain_s - KILL_S)):
                for pool in self._pools:
                    await pool.idle()
        except TimeoutError:
            log.info("giving back %d attempts", sum(pool.busy for pool in self._pools))
        for pool in self._pools:
            await pool.abandon()
        self._announcer.state = "stopped"
        await self._announcer.beat()

    async def _stop_services(self) -> None:
        await ended(*self._services)

    async def close(self) -> None:
        """End all parts, the last one begun first."""
        await self._parts_to_close.aclose()


async def _close_log(event_log: NatsEventLog) -> None:
    try:
        async with asyncio.timeout(CLOSE_S):
            await event_log.close()
    except TimeoutError:
        log.warning("the ledger did not answer; facts that were on their way may be missing")


async def _close_connection(nc: Client) -> None:
    try:
        if nc.is_connected:
            await nc.flush(CLOSE_S)
        await close(nc)
    except (nats.errors.Error, OSError, TimeoutError) as error:
        log.warning("NATS: %s while closing", type(error).__name__)

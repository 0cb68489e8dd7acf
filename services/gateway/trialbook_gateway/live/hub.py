"""All live channels of this gateway: opened for the first follower, closed after the last."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import TYPE_CHECKING

import msgspec
from nats.aio.client import Client

from trialbook import subjects
from trialbook.errors import Refusal, Unavailable
from trialbook.queries import EventList
from trialbook.signals import LEVELS
from trialbook.tasks import ended
from trialbook_gateway.asking import CheckedAsk
from trialbook_gateway.live.channel import Channel
from trialbook_gateway.live.facts import FactsFollower
from trialbook_gateway.live.follower import RunFollower
from trialbook_gateway.live.items import KINDS, Position
from trialbook_gateway.live.past import Past
from trialbook_gateway.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trialbook_gateway.telemetry import Telemetry

log = logging.getLogger(__name__)
CHECK_S = 0.25
PAST_TIMEOUT_S = 30.0
"""A projector may be restarting while a client reads the past; so long it is waited for."""


class _Shared(msgspec.Struct):
    channel: Channel
    opened: asyncio.Future[None]
    followers: int = 0


class Hub:
    """``follow_run`` and ``follow_facts`` are also what dialects build their own live routes on."""

    def __init__(self, nc: Client, ask: CheckedAsk, settings: Settings, telemetry: Telemetry) -> None:
        self._nc, self._ask, self._settings, self._telemetry = nc, ask, settings, telemetry
        self._channels: dict[tuple[str, str], _Shared] = {}
        self._watch: asyncio.Task[None] | None = None
        self._clients = 0
        self.closing = asyncio.Event()
        """Set when the gateway is about to stop: live connections end with a resume cursor."""

    def start(self) -> None:
        """Begin to watch the connection: after a reconnect every channel reads again."""
        self._watch = asyncio.create_task(self._watch_connection(), name="live-watch")

    async def close(self) -> None:
        """End all streams."""
        self.stop_soon()
        await ended(self._watch)
        for shared in list(self._channels.values()):
            await shared.channel.close()
        self._channels.clear()

    def stop_soon(self) -> None:
        """Ask every live connection to end."""
        self.closing.set()
        for shared in self._channels.values():
            shared.channel.stopping = True
            shared.channel.wake()

    async def drained(self, timeout_s: float) -> None:
        """Wait until every client has been told, at most ``timeout_s`` seconds."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        while self._clients and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.01)

    @contextmanager
    def client(self, kind: str) -> Iterator[None]:
        """Count an open connection. Raises ``Unavailable`` (code ``too_many_live_clients``)."""
        if self._clients >= self._settings.live_max_clients:
            raise Unavailable("too_many_live_clients", "Too many live connections are open; try again later.")
        self._clients += 1
        gauge = self._telemetry.live_clients.labels(kind)
        gauge.inc()
        try:
            yield
        finally:
            self._clients -= 1
            gauge.dec()

    @asynccontextmanager
    async def follow_run(
        self,
        workspace: str,
        run: str,
        *,
        position: Position | None = None,
        kinds: Iterable[str] = KINDS,
        level: str = "debug",
    ) -> AsyncIterator[RunFollower]:
        """A follower of one run from ``position`` (default: its beginning), opened. Raises ``NotFound``."""
        wanted = frozenset(kinds)
        taps = [
            subjects.tap(subjects.signals_of(workspace, run)),
            subjects.tap(subjects.facts_of(workspace, "run", run)),
        ]
        async with self._channel((workspace, run), taps, ends=True) as channel:
            past = Past(self._ask, workspace, run, level, wanted, PAST_TIMEOUT_S)
            start = position or Position()
            rank = LEVELS.index(level)
            lag, told = self._settings.live_lag_messages, partial(self._ask.told, workspace)
            follower = RunFollower(channel, past, run, start, wanted, rank, lag, told)
            await follower.open()
            yield follower

    @asynccontextmanager
    async def follow_facts(self, workspace: str, query: EventList) -> AsyncIterator[FactsFollower]:
        """A follower of a workspace's facts after ``query.after``, filtered as the query says."""
        taps = [subjects.tap(subjects.facts_of(workspace))]
        async with self._channel((workspace, ""), taps, ends=False) as channel:
            lag = self._settings.live_lag_messages
            told = partial(self._ask.told, workspace)
            yield FactsFollower(channel, self._ask, workspace, query, lag, PAST_TIMEOUT_S, told)

    @asynccontextmanager
    async def _channel(self, key: tuple[str, str], taps: list[str], *, ends: bool) -> AsyncIterator[Channel]:
        shared = self._channels.get(key)
        if shared is None:
            channel = Channel(self._nc, taps, self._settings.live_ring_bytes, ends=ends)
            shared = _Shared(channel, asyncio.get_running_loop().create_future())
            self._channels[key] = shared
            shared.followers += 1
            try:
                await channel.open()
            except BaseException as error:
                del self._channels[key]
                shared.opened.set_exception(_unavailable(error))
                shared.opened.exception()  # nobody may be waiting for it
                raise
            shared.opened.set_result(None)
        else:
            shared.followers += 1
        try:
            await asyncio.shield(shared.opened)
            yield shared.channel
        finally:
            shared.followers -= 1
            if shared.followers == 0 and self._channels.get(key) is shared:
                del self._channels[key]
                self._telemetry.live_resets.inc(shared.channel.resets)
                await shared.channel.close()

    async def _watch_connection(self) -> None:
        reconnects = self._nc.stats["reconnects"]
        while True:
            await asyncio.sleep(CHECK_S)
            now = self._nc.stats["reconnects"]
            if now == reconnects:
                continue
            reconnects = now
            for shared in self._channels.values():
                shared.channel.reset("the connection to NATS was lost")


def _unavailable(error: BaseException) -> BaseException:
    return error if isinstance(error, Refusal) else Unavailable("live_unavailable", "The stream cannot be opened now.")

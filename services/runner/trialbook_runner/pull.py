"""Pulling from one durable consumer: raw requests and a callback, because that costs a third of nats-py's ``fetch``.

How many messages are outstanding is known from requests, deliveries and the server's statuses; a reconnect or an
overdue answer forgets them, since the server does as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from trialbook import subjects
from trialbook.clock import Clock
from trialbook.streams import FACTS, NANO

EXPIRES_S = 20.0
GRACE_S = 2.0
PROBE_S = 2.0
MAX_BATCH = 256


class _Request(msgspec.Struct):
    left: int
    deadline: float


class Puller:
    """One (pool, priority). ``deliver`` gets each message; it must not wait for long."""

    def __init__(self, nc: Client, consumer: str, deliver: Callable[[Msg], Awaitable[None]], clock: Clock) -> None:
        self._nc, self._deliver, self._clock = nc, deliver, clock
        self._subject = subjects.pull_next(FACTS, consumer)
        self._inbox = nc.new_inbox()
        self._requests: dict[str, _Request] = {}
        self._number = 0
        self._reconnects = -1
        self._subscription: Subscription | None = None
        self._probe: asyncio.Future[bool] | None = None
        self.changed = asyncio.Event()
        """Set when fewer messages are outstanding than before."""

    async def start(self) -> None:
        """Listen for deliveries."""
        self._subscription = await self._nc.subscribe(
            f"{self._inbox}.*", cb=self._on_message, pending_msgs_limit=-1, pending_bytes_limit=-1
        )

    @property
    def outstanding(self) -> int:
        """Messages that the server will send as soon as it has them."""
        now = self._clock.monotonic()
        if self._nc.stats["reconnects"] != self._reconnects:
            self._reconnects = self._nc.stats["reconnects"]
            self._requests.clear()
        for token in [t for t, r in self._requests.items() if r.deadline < now]:
            del self._requests[token]
        return sum(request.left for request in self._requests.values())

    async def ask(self, count: int) -> None:
        """Ask for messages, to come as they arrive."""
        batch = min(count, MAX_BATCH)
        await self._request({"batch": batch, "expires": int(EXPIRES_S * NANO)}, batch, EXPIRES_S + GRACE_S)

    async def probe(self) -> bool:
        """Ask for one message if there is one now; whether there was."""
        self._probe = asyncio.get_running_loop().create_future()
        try:
            await self._request({"batch": 1, "no_wait": True}, 1, PROBE_S)
            async with asyncio.timeout(PROBE_S):
                return await self._probe
        except TimeoutError:
            return False
        finally:
            self._probe = None

    async def _request(self, body: dict[str, object], batch: int, seconds: float) -> None:
        self._number += 1
        token = str(self._number)
        self._requests[token] = _Request(batch, self._clock.monotonic() + seconds)
        try:
            await self._nc.publish(self._subject, msgspec.json.encode(body), reply=f"{self._inbox}.{token}")
        except nats.errors.OutboundBufferLimitError:
            del self._requests[token]

    async def _on_message(self, message: Msg) -> None:
        if message.subject.startswith(self._inbox):
            self._on_status(message)
            return
        for token, request in self._requests.items():
            request.left -= 1
            if request.left <= 0:
                del self._requests[token]
            break
        self._answer_probe(True)
        await self._deliver(message)
        self.changed.set()

    def _on_status(self, message: Msg) -> None:
        if (message.headers or {}).get("Status") == "100":
            return
        self._requests.pop(message.subject.rsplit(".", 1)[1], None)
        self._answer_probe(False)
        self.changed.set()

    def _answer_probe(self, found: bool) -> None:
        if self._probe is not None and not self._probe.done():
            self._probe.set_result(found)

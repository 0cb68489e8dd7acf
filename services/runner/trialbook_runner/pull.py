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
REMEMBERED = 1000
"""Requests whose size is kept; more than can be outstanding."""


class Puller:
    """One (pool, priority). ``deliver`` gets each message; it must not wait for long."""

    def __init__(self, nc: Client, consumer: str, deliver: Callable[[Msg], Awaitable[None]], clock: Clock) -> None:
        self._nc, self._deliver, self._clock = nc, deliver, clock
        self._subject = subjects.pull_next(FACTS, consumer)
        self._inbox = nc.new_inbox()
        self._batches: dict[str, int] = {}
        """Sizes of recent requests by token."""
        self._outstanding = self._number = 0
        self._deadline = 0.0
        self._reconnects = -1
        self._subscription: Subscription | None = None
        self._probe: asyncio.Future[bool] | None = None
        self.changed = asyncio.Event()
        """Set when fewer messages are outstanding than before."""
        self.failed = False
        """The consumer is missing or not ready; to be reset by whoever sees to it."""

    async def start(self) -> None:
        """Listen for deliveries."""
        self._subscription = await self._nc.subscribe(
            f"{self._inbox}.*", cb=self._on_message, pending_msgs_limit=-1, pending_bytes_limit=-1
        )

    @property
    def outstanding(self) -> int:
        """Messages that the server will send as soon as it has them."""
        reconnected = self._nc.stats["reconnects"] != self._reconnects
        if reconnected or self._clock.monotonic() > self._deadline:  # every request has ended by then
            self._reconnects = self._nc.stats["reconnects"]
            self._forget()
        return self._outstanding

    def _forget(self) -> None:
        self._outstanding = 0
        self._batches.clear()

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
        try:
            await self._nc.publish(self._subject, msgspec.json.encode(body), reply=f"{self._inbox}.{token}")
        except nats.errors.OutboundBufferLimitError:
            return
        self._batches[token] = batch
        self._batches.pop(str(self._number - REMEMBERED), None)
        self._outstanding += batch
        self._deadline = max(self._deadline, self._clock.monotonic() + seconds)

    async def _on_message(self, message: Msg) -> None:
        if message.subject.startswith(self._inbox):
            self._on_status(message.subject.rsplit(".", 1)[1], message.headers or {})
            return
        self._outstanding = max(0, self._outstanding - 1)
        self._answer_probe(True)
        await self._deliver(message)
        self.changed.set()

    def _on_status(self, token: str, headers: dict[str, str]) -> None:
        """A request has ended with ``Nats-Pending-Messages`` unserved; without that header none was served."""
        status = headers.get("Status")
        if status == "100":
            return
        batch = self._batches.pop(token, 0)
        if status in ("404", "408"):
            unserved = headers.get("Nats-Pending-Messages")
            self._outstanding = max(0, self._outstanding - (batch if unserved is None else int(unserved)))
        else:
            self._forget()
            self.failed = True
        self._answer_probe(False)
        self.changed.set()

    def _answer_probe(self, found: bool) -> None:
        if self._probe is not None and not self._probe.done():
            self._probe.set_result(found)

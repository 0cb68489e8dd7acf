"""Follow a stream: every message after a position exactly once and in order, across reconnects.

An ephemeral pull consumer without acknowledgements, created from the position after the last message seen; consecutive
consumer sequences prove that nothing is missing. It is created anew after a reconnect, a refused or expired pull, a
missing heartbeat or a gap.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from types import TracebackType
from typing import Any, Self

import msgspec
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from trialbook.errors import Unavailable
from trialbook.ids import UUIDv7Source
from trialbook.log.api import ApiError, call
from trialbook.streams import NANO, filtered

log = logging.getLogger(__name__)
PULL_MESSAGES = 4000
PULL_BYTES = 8 * 1024 * 1024
PULL_EXPIRES_S = 30
HEARTBEAT_S = 5
SILENCE_S = 12.0
INACTIVE_S = 30
CHECK_S = 0.5
PULL_ENDED = ("MaxBytes", "Batch Completed")
"""What a 409 says that ends one pull and leaves the consumer as it is."""


class Message(msgspec.Struct, frozen=True, gc=False):
    """A stored message; ``time_ns`` is when the server stored it (Unix nanoseconds).

    ``headers`` are its raw headers, of a reader that was asked for them.
    """

    sequence: int
    subject: str
    data: bytes
    time_ns: int
    headers: bytes = b""


class Tail:
    """Use as ``async with Tail(nc, "FACTS", ["fact.>"], after=0) as tail: batch = await tail.next(...)``."""

    def __init__(self, nc: Client, stream: str, filters: list[str], after: int) -> None:
        self._nc, self._stream, self._filters = nc, stream, filters
        self.position = after
        """Sequence of the last message handed out."""
        self.pending = 0
        """Messages that were waiting in the server behind the last one received."""
        self._received = after
        self._consumer_sequence = 0
        self._buffer: deque[Message] = deque()  # bounded: by the two pulls that may be outstanding
        self._arrived = asyncio.Event()
        self._pulls: dict[str, int] = {}
        self._pull_number = 0
        self._subscription: Subscription | None = None
        self._inbox = ""
        self._broken = True
        self._reconnects = -1
        self._heard = 0.0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        await self._drop()

    async def next(self, max_messages: int = 5000, timeout_s: float | None = None) -> list[Message]:
        """The next messages in order, at least one; ``[]`` when ``timeout_s`` passes first. Waits for ever by
        default.
        """
        loop = asyncio.get_running_loop()
        deadline = None if timeout_s is None else loop.time() + timeout_s
        while not self._buffer:
            self._arrived.clear()
            await self._keep_alive()
            if self._buffer:
                break
            left = CHECK_S if deadline is None else min(CHECK_S, deadline - loop.time())
            if left <= 0:
                return []
            try:
                async with asyncio.timeout(left):
                    await self._arrived.wait()
            except TimeoutError:
                continue
        if len(self._buffer) <= max_messages:
            batch = list(self._buffer)
            self._buffer.clear()
        else:
            batch = [self._buffer.popleft() for _ in range(max_messages)]
        self.position = batch[-1].sequence
        if not self._broken:
            await self._pull()
        return batch

    async def _keep_alive(self) -> None:
        """Make sure that a consumer lives and a pull is outstanding."""
        now = asyncio.get_running_loop().time()
        if not self._nc.is_connected:
            self._broken = True
            return
        if self._nc.stats["reconnects"] != self._reconnects or now - self._heard > SILENCE_S:
            self._broken = True
        try:
            if self._broken:
                await self._create()
            await self._pull()
        except (Unavailable, ApiError, nats.errors.Error, OSError, TimeoutError) as error:
            log.info("tail of %s: %s; trying again", self._stream, error)
            self._broken = True

    async def _create(self) -> None:
        await self._drop()
        self._reconnects = self._nc.stats["reconnects"]
        self._inbox = self._nc.new_inbox()
        self._subscription = await self._nc.subscribe(
            f"{self._inbox}.*", cb=self._on_message, pending_msgs_limit=-1, pending_bytes_limit=-1
        )
        name = UUIDv7Source().new()
        config: dict[str, Any] = {
            "name": name,
            **filtered(self._stream, self._filters),
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": self._received + 1,
            "ack_policy": "none",
            "mem_storage": True,
            "num_replicas": 1,
            "inactive_threshold": INACTIVE_S * NANO,
        }
        body = {"stream_name": self._stream, "config": config, "action": "create"}
        await call(self._nc, f"CONSUMER.CREATE.{self._stream}.{name}", body)
        self._next_subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{name}"
        self._consumer_sequence = 0
        self._broken = False
        self._heard = asyncio.get_running_loop().time()

    async def _drop(self) -> None:
        self._pulls.clear()
        if self._subscription is None:
            return
        subscription, self._subscription = self._subscription, None
        try:
            await subscription.unsubscribe()
        except nats.errors.Error as error:
            log.debug("tail of %s: %s", self._stream, error)

    async def _pull(self) -> None:
        """Ask for more while the reader keeps up: at most two pulls outstanding, none with a full buffer."""
        if len(self._pulls) >= 2 or sum(self._pulls.values()) + len(self._buffer) > PULL_MESSAGES:
            return
        self._pull_number += 1
        token = str(self._pull_number)
        self._pulls[token] = PULL_MESSAGES
        request = {
            "batch": PULL_MESSAGES,
            "max_bytes": PULL_BYTES,
            "expires": PULL_EXPIRES_S * NANO,
            "idle_heartbeat": HEARTBEAT_S * NANO,
        }
        await self._nc.publish(self._next_subject, msgspec.json.encode(request), reply=f"{self._inbox}.{token}")

    async def _on_message(self, message: Msg) -> None:
        self._heard = asyncio.get_running_loop().time()
        if not message.subject.startswith(self._inbox) and message.reply.startswith("$JS.ACK."):
            self._accept(message)
        else:
            self._on_status(message)
        self._arrived.set()

    def _accept(self, message: Msg) -> None:
        tokens = message.reply.split(".")
        sequence, consumer_sequence = int(tokens[-4]), int(tokens[-3])
        if consumer_sequence != self._consumer_sequence + 1:
            if not self._broken:
                log.warning("tail of %s: gap after %d; reading again", self._stream, self._received)
            self._broken = True
            return
        self._consumer_sequence = consumer_sequence
        self.pending = int(tokens[-1])
        self._received = sequence
        self._buffer.append(Message(sequence, message.subject, message.data, int(tokens[-2])))
        self._count()

    def _count(self) -> None:
        """Pulls are served in order: take one message off the oldest."""
        oldest = next(iter(self._pulls), None)
        if oldest is not None:
            self._pulls[oldest] -= 1
            if self._pulls[oldest] <= 0:
                del self._pulls[oldest]

    def _on_status(self, message: Msg) -> None:
        status = (message.headers or {}).get("Status", "")
        if status == "100":  # idle heartbeat
            return
        self._pulls.pop(message.subject.rsplit(".", 1)[1], None)
        description = (message.headers or {}).get("Description", "")
        ended = status in {"404", "408"} or (status == "409" and any(words in description for words in PULL_ENDED))
        if not ended:  # the consumer or its server is gone
            self._broken = True

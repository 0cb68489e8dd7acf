"""Append messages to an empty stream so that each gets the sequence, subject, payload and message id that it had."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from typing import Any

import msgspec
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from trialbook import subjects
from trialbook.errors import Conflict, Unavailable
from trialbook.ids import UUIDv7Source
from trialbook.ledger.segments import message_id
from trialbook.log.api import call
from trialbook.log.connect import connected
from trialbook.log.tail import Message

AT_ONCE = 500
AT_ONCE_BYTES = 4 * 1024 * 1024
REPLY_S = 10.0
TRIES = 5
LAST = "Nats-Expected-Last-Sequence"
NOBODY = "0" * 32


class Appender:
    """Fills one stream. ``atomic``: with atomic batches, else message by message, each expecting the one before."""

    def __init__(self, nc: Client, stream: str, *, atomic: bool) -> None:
        self._nc, self._stream, self._atomic = nc, stream, atomic
        self._batches = itertools.count(1)
        self._run = UUIDv7Source().new()

    async def last(self) -> int:
        """The last sequence that was given out."""
        return int((await call(self._nc, f"STREAM.INFO.{self._stream}"))["state"]["last_seq"])

    async def begin_at(self, sequence: int) -> None:
        """Let the next message of a stream without any get this sequence."""
        if await self.last() < sequence - 1:
            await call(self._nc, f"STREAM.PURGE.{self._stream}", {"seq": sequence})

    async def append(self, messages: Sequence[Message]) -> None:
        """Append messages with ascending sequences; those that are there already are passed over.

        Raises ``Conflict`` (``somebody_writes``) when others write to the stream, ``Unavailable``.
        """
        left = list(messages)
        for attempt in range(TRIES):
            position = await self.last()
            left = [m for m in left if m.sequence > position]
            try:
                for portion in _portions(left):
                    position = await self._fill(position, portion[0].sequence)
                    await self._publish(portion, position)
                    position = portion[-1].sequence
            except (nats.errors.Error, TimeoutError, OSError):
                await connected(self._nc, REPLY_S)
                await asyncio.sleep(attempt)
            else:
                return
        raise Unavailable("ledger_unavailable", "The server did not take the messages; run the import again.")

    async def _fill(self, position: int, first: int) -> int:
        """Use up sequences that no message has any more."""
        while position < first - 1:
            subject = subjects.signal("_", NOBODY, "log")
            answer = await self._ask(subject, b"", {LAST: str(position)})
            position = int(answer["seq"])
            await call(self._nc, f"STREAM.MSG.DELETE.{self._stream}", {"seq": position, "no_erase": True})
        return position

    async def _publish(self, portion: Sequence[Message], position: int) -> None:
        if self._atomic and len(portion) > 1:
            await self._batch(portion, position)
            return
        inbox = self._nc.new_inbox()
        arrived: asyncio.Queue[Msg] = asyncio.Queue(AT_ONCE)
        subscription = await self._nc.subscribe(f"{inbox}.*", cb=arrived.put)
        try:
            for number, message in enumerate(portion):
                headers = _headers(message) | {LAST: str(position + number)}
                reply_to = f"{inbox}.{message.sequence}"
                await self._nc.publish(message.subject, message.data, reply=reply_to, headers=headers)
            async with asyncio.timeout(REPLY_S):
                for _ in portion:
                    reply = await arrived.get()
                    self._check(reply.data, int(reply.subject.rsplit(".", 1)[1]))
        finally:
            await subscription.unsubscribe()

    async def _batch(self, portion: Sequence[Message], position: int) -> None:
        name = f"{self._run}-{next(self._batches)}"
        *before, commit = portion
        for number, message in enumerate(before, 1):
            headers = _headers(message) | {"Nats-Batch-Id": name, "Nats-Batch-Sequence": str(number)}
            if number == 1:
                headers[LAST] = str(position)
            await self._nc.publish(message.subject, message.data, headers=headers)
        headers = _headers(commit) | {
            "Nats-Batch-Id": name, "Nats-Batch-Sequence": str(len(portion)), "Nats-Batch-Commit": "1",
        }  # fmt: skip
        reply = await self._nc.request(commit.subject, commit.data, timeout=REPLY_S, headers=headers)
        self._check(reply.data, commit.sequence)

    async def _ask(self, subject: str, payload: bytes, headers: dict[str, str]) -> dict[str, Any]:
        reply = await self._nc.request(subject, payload, timeout=REPLY_S, headers=headers)
        answer: dict[str, Any] = msgspec.json.decode(reply.data)
        if "error" in answer:
            raise _refused(answer["error"], self._stream)
        return answer

    def _check(self, reply: bytes, sequence: int) -> None:
        answer = msgspec.json.decode(reply)
        if "error" in answer:
            raise _refused(answer["error"], self._stream)
        if answer["seq"] != sequence:
            raise Conflict(
                "somebody_writes",
                f"Message {sequence} of {self._stream} got the sequence {answer['seq']}: somebody else writes to it.",
            )


def _refused(error: dict[str, Any], stream: str) -> Conflict:
    return Conflict(
        "somebody_writes",
        f"{stream} did not take a message as it was ({error.get('description')}): either somebody else writes to it, "
        "or it is not empty. Stop the services, and import into an empty installation.",
    )


def _headers(message: Message) -> dict[str, str]:
    id_ = message_id(message)
    return {"Nats-Msg-Id": id_} if id_ else {}


def _portions(messages: Sequence[Message]) -> list[list[Message]]:
    """Consecutive messages, bounded in number and bytes."""
    found: list[list[Message]] = []
    size = 0
    for message in messages:
        full = not found or len(found[-1]) >= AT_ONCE or size + len(message.data) > AT_ONCE_BYTES
        if full or message.sequence != found[-1][-1].sequence + 1:
            found.append([])
            size = 0
        found[-1].append(message)
        size += len(message.data)
    return found

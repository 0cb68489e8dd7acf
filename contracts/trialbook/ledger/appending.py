"""Append messages to an empty stream so that each gets the sequence, subject, payload and message id that it had."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from typing import Any

import msgspec
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from trialbook import subjects
from trialbook.errors import Conflict, Unavailable
from trialbook.ledger.batches import Acknowledged, Batches
from trialbook.ledger.segments import message_id
from trialbook.log.api import call
from trialbook.log.connect import connected
from trialbook.log.tail import Message
from trialbook.log.wire import Wire

AT_ONCE = 1000
AT_ONCE_BYTES = 4 * 1024 * 1024
REPLY_S = 10.0
TRIES = 5
SETTLE_S = 0.5
"""After a broken connection: what the server has received is stored before it is looked at again."""
LAST = "Nats-Expected-Last-Sequence"
NOBODY = "0" * 32


class Appender:
    """Fills one stream. ``atomic``: the url of the server, to send atomic batches over a connection of its own; without
    it message by message, each expecting the one before.
    """

    def __init__(self, nc: Client, stream: str, *, atomic: str = "") -> None:
        self._nc, self._stream, self._atomic = nc, stream, atomic
        self._batches: Batches | None = None
        self._wire: Wire | None = None

    async def last(self) -> int:
        """The last sequence that was given out."""
        return int((await call(self._nc, f"STREAM.INFO.{self._stream}"))["state"]["last_seq"])

    async def begin_at(self, sequence: int) -> None:
        """Let the next message of a stream without any get this sequence."""
        if await self.last() < sequence - 1:
            await call(self._nc, f"STREAM.PURGE.{self._stream}", {"seq": sequence})

    async def end_at(self, sequence: int) -> None:
        """Let the next message get a later sequence than this one: verdicts name signals that are gone."""
        await self._fill(await self.last(), sequence + 1)

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
                if self._batches is not None:
                    self._check_all(await self._batches.settle())
            except (nats.errors.Error, TimeoutError, OSError, Unavailable):
                await self.close()
                await connected(self._nc, REPLY_S)
                await asyncio.sleep(SETTLE_S * (attempt + 1))
            except Conflict:
                await self.close()
                await asyncio.sleep(SETTLE_S * (attempt + 1))
                if attempt == TRIES - 1 or not await self._ours(messages):
                    raise
            else:
                return
        raise Unavailable("ledger_unavailable", "The server did not take the messages; run the import again.")

    async def close(self) -> None:
        """Close the connection for batches, if there is one."""
        wire, self._wire, self._batches = self._wire, None, None
        if wire is not None:
            await wire.close()

    async def _ours(self, messages: Sequence[Message]) -> bool:
        """Whether the newest message there is one of these: then an import that broke off was still being stored."""
        position = await self.last()
        wanted = next((m for m in messages if m.sequence == position), None)
        if wanted is None:
            return False
        found = (await call(self._nc, f"STREAM.MSG.GET.{self._stream}", {"seq": position}))["message"]
        return (found["subject"], base64.b64decode(found.get("data", ""))) == (wanted.subject, wanted.data)

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
            if self._batches is None:
                self._wire = await Wire.open(self._atomic)
                self._batches = Batches(self._wire)
            self._check_all(await self._batches.send(portion, position))
            return
        if self._batches is not None:
            self._check_all(await self._batches.settle())
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
                    self._check(msgspec.json.decode(reply.data), int(reply.subject.rsplit(".", 1)[1]))
        finally:
            await subscription.unsubscribe()

    async def _ask(self, subject: str, payload: bytes, headers: dict[str, str]) -> dict[str, Any]:
        reply = await self._nc.request(subject, payload, timeout=REPLY_S, headers=headers)
        answer: dict[str, Any] = msgspec.json.decode(reply.data)
        if "error" in answer:
            raise _refused(answer["error"], self._stream)
        return answer

    def _check_all(self, found: Sequence[Acknowledged]) -> None:
        for one in found:
            self._check(one.answer, one.sequence)

    def _check(self, answer: dict[str, Any], sequence: int) -> None:
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

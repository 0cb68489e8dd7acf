"""Atomic batches over a raw connection, a few of them under way: the server stores one while the next one comes."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Sequence
from typing import Any

import msgspec

from trialbook.errors import Unavailable
from trialbook.ids import UUIDv7Source
from trialbook.ledger.segments import message_id
from trialbook.log.tail import Message
from trialbook.log.wire import Wire

UNDER_WAY = 3
"""Batches that are sent before the first of them is acknowledged."""


class Acknowledged(msgspec.Struct, frozen=True):
    """What became of a batch whose last message was to get ``sequence``: the server's answer."""

    sequence: int
    answer: dict[str, Any]


class Batches:
    """Sends batches to one stream. Raises ``Unavailable`` when the connection breaks; what is stored is unknown."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        run = UUIDv7Source().new()
        self._inbox = f"_INBOX.{run}."
        self._names = (f"{run}-{number}" for number in itertools.count(1))
        self._sent: deque[int] = deque()  # bounded: by ``UNDER_WAY``
        self._rest = b""
        wire.subscribe(f"{self._inbox}*")

    async def send(self, portion: Sequence[Message], after: int) -> list[Acknowledged]:
        """Send a batch that must follow ``after``; what has become of others, once too many are under way."""
        await self._wire.send(self._batch(portion, after))
        self._sent.append(portion[-1].sequence)
        return await self._settled(UNDER_WAY)

    async def settle(self) -> list[Acknowledged]:
        """What has become of all that are under way."""
        return await self._settled(0)

    async def _settled(self, most: int) -> list[Acknowledged]:
        found: list[Acknowledged] = []
        while len(self._sent) > most:
            self._rest += await self._wire.receive()
            found += self._take()
        return found

    def _take(self) -> list[Acknowledged]:
        found: list[Acknowledged] = []
        while (end := self._rest.find(b"\r\n")) >= 0:
            words = self._rest[:end].split(b" ")
            start, stop = end + 2, end + 2
            if words[0] in (b"MSG", b"HMSG"):
                stop = start + int(words[-1])
                if len(self._rest) < stop + 2:
                    break
                body = self._rest[start + (int(words[-2]) if words[0] == b"HMSG" else 0) : stop]
                found.append(self._acknowledged(body))
                stop += 2
            elif words[0] == b"PING":
                self._wire.pong()
            elif words[0] == b"-ERR":
                raise Unavailable("nats_refused", f"NATS refused a batch: {self._rest[:end].decode()}.")
            self._rest = self._rest[stop:]
        return found

    def _acknowledged(self, body: bytes) -> Acknowledged:
        if not body:
            raise Unavailable("ledger_unavailable", "JetStream does not answer.")
        return Acknowledged(self._sent.popleft(), msgspec.json.decode(body))

    def _batch(self, portion: Sequence[Message], after: int) -> bytes:
        """All commands of a batch, each with its payload."""
        batch = f"Nats-Batch-Id: {next(self._names)}\r\nNats-Batch-Sequence: "
        reply = f" {self._inbox}{portion[-1].sequence}"
        last = len(portion)
        parts: list[bytes] = []
        for number, message in enumerate(portion, 1):
            id_ = message_id(message)
            head = f"NATS/1.0\r\n{batch}{number}\r\n"
            if id_:
                head += f"Nats-Msg-Id: {id_}\r\n"
            if number == 1:
                head += f"Nats-Expected-Last-Sequence: {after}\r\n"
            if number == last:
                head += "Nats-Batch-Commit: 1\r\n"
            headers = f"{head}\r\n".encode()
            sizes = f"{len(headers)} {len(headers) + len(message.data)}"
            parts += (
                f"HPUB {message.subject}{reply if number == last else ''} {sizes}\r\n".encode(),
                headers, message.data, b"\r\n",
            )  # fmt: skip
        return b"".join(parts)

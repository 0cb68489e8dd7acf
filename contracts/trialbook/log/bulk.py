"""Read a stream from a position to its end as quickly as the socket gives it: rebuilds, exports and audits.

A connection of its own with a minimal reader of the NATS client protocol, which parses whole socket reads at once:
several times the rate of a general client, because nothing is allocated per message but the message. For following a
stream use ``Tail``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec

from trialbook.errors import Unavailable
from trialbook.ids import UUIDv7Source
from trialbook.log.tail import Message
from trialbook.log.wire import Wire
from trialbook.streams import NANO, filtered

PULL_MESSAGES = 20_000
ANY_SEQUENCE = (1 << 63) - 1
DELIVERIES = ("HMSG", "MSG")


async def read_stream(
    url: str, stream: str, filters: list[str], after: int, up_to: int | None = None, *, headers: bool = False
) -> AsyncIterator[list[Message]]:
    """Batches of messages with ``after < sequence <= up_to`` in order, to ``up_to`` or to the present end.

    With ``headers`` the messages have their raw headers.

    Raises ``Unavailable`` when the server goes away or a gap is seen; read again from the last sequence then.
    """
    if up_to is not None and up_to <= after:
        return
    wire = await Wire.open(url)
    try:
        async for batch in _read(wire, _Reading(wire, stream, up_to, headers), filters, after):
            yield batch
    finally:
        await wire.close()


async def _read(wire: Wire, reading: _Reading, filters: list[str], after: int) -> AsyncIterator[list[Message]]:
    reading.create(filters, after)
    rest = b""
    while not reading.ended:
        data = rest + await wire.receive()
        batch, used = reading.take(data)
        rest = data[used:]
        if batch:
            yield batch
        reading.pull()


class _Reading:
    """One consumer's state: what was asked for and what has come."""

    def __init__(self, wire: Wire, stream: str, up_to: int | None, headers: bool) -> None:
        self.ended = False
        self._headers = headers
        self._wire, self._stream = wire, stream
        self._end = ANY_SEQUENCE if up_to is None else up_to
        self._name = UUIDv7Source().new()
        self._inbox = f"_INBOX.{self._name}."
        self._delivered, self._wanted, self._created = 0, 0, False
        self._last = 0
        """Sequence of the newest message."""
        self._pulls, self._before = 0, 0
        """Pulls made, and what had been delivered when the newest was."""

    def create(self, filters: list[str], after: int) -> None:
        """Ask for the consumer; its answer comes like a delivery."""
        self._last = after
        self._wire.subscribe(f"{self._inbox}*")
        config = {
            "name": self._name, **filtered(self._stream, filters), "deliver_policy": "by_start_sequence",
            "opt_start_seq": after + 1, "ack_policy": "none", "mem_storage": True, "num_replicas": 1,
            "inactive_threshold": 30 * NANO,
        }  # fmt: skip
        body = msgspec.json.encode({"stream_name": self._stream, "config": config, "action": "create"})
        self._wire.publish(f"$JS.API.CONSUMER.CREATE.{self._stream}.{self._name}", f"{self._inbox}created", body)

    def pull(self) -> None:
        """Ask for more before the last pull is used up, but never for what lies behind the end."""
        size = min(PULL_MESSAGES, self._end - self._last - self._wanted)
        if self.ended or not self._created or self._wanted > PULL_MESSAGES // 2 or size <= 0:
            return
        self._pulls += 1
        self._before = self._delivered
        reply = f"{self._inbox}{self._pulls}"
        body = msgspec.json.encode({"batch": size, "no_wait": True})
        self._wire.publish(f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{self._name}", reply, body)
        self._wanted += size

    def take(self, data: bytes) -> tuple[list[Message], int]:
        """The messages that are complete in ``data``, and how many of its bytes have been used.

        What the server says is pending tells the end only where no other is given. One loop without calls: this is the
        time that a bulk read takes.
        """
        found: list[Message] = []
        find, inbox, delivered, end, headers = data.find, self._inbox, self._delivered, self._end, self._headers
        position, size, sequence, pending = 0, len(data), 0, ""
        none_left = "0" if end == ANY_SEQUENCE else "-"
        while pending != none_left and sequence < end and (line_end := find(b"\r\n", position)) >= 0:
            words = data[position:line_end].decode().split(" ")
            start = line_end + 2
            if words[0] not in DELIVERIES:
                self._control(words)
                position = start
                continue
            stop = start + int(words[-1])
            if stop + 2 > size:
                break
            body = start + int(words[-2]) if words[0] == "HMSG" else start
            position = stop + 2
            if words[1].startswith(inbox):
                self._count(delivered)
                self._notice(words[1], data[start:body], data[body:stop])
                continue
            _, place, number, time_ns, pending = words[3].rsplit(".", 4)
            delivered += 1
            if int(number) != delivered:
                raise Unavailable("ledger_unavailable", "A bulk read lost messages; read again.")
            sequence = int(place)
            if sequence <= end:
                kept = data[start:body] if headers else b""
                found.append(Message(sequence, words[1], data[body:stop], int(time_ns), kept))
        self._count(delivered)
        self._last = sequence or self._last
        self.ended = self.ended or pending == none_left or sequence >= end
        return found, position

    def _count(self, delivered: int) -> None:
        self._wanted -= delivered - self._delivered
        self._delivered = delivered

    def _control(self, words: list[str]) -> None:
        if words[0] == "PING":
            self._wire.pong()
        elif words[0] == "-ERR":
            raise Unavailable("nats_refused", f"NATS refused a bulk read: {' '.join(words[1:])}.")

    def _given_up(self, pull: int) -> None:
        """The server has dropped a pull. Only when it had nothing at all for the newest one is this the end: it also
        drops pulls when it is late in reading its own files.
        """
        if pull == self._pulls and self._delivered == self._before:
            self.ended = True
        self._wanted = 0

    def _notice(self, subject: str, headers: bytes, body: bytes) -> None:
        if subject.endswith(".created"):
            answer = msgspec.json.decode(body) if body else {"error": {"description": "JetStream does not answer"}}
            if "error" in answer:
                raise Unavailable("ledger_unavailable", f"A bulk read was refused: {answer['error']['description']}.")
            self._created = True
        elif headers.startswith((b"NATS/1.0 404", b"NATS/1.0 408")):
            self._given_up(int(subject.rsplit(".", 1)[1]))
        else:
            raise Unavailable("ledger_unavailable", f"A bulk read was ended: {headers[:80].decode()!r}.")

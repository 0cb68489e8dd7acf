"""Publishing signals: chunks of records on the SIGNALS stream, in order, nothing lost, nothing twice.

The publisher has a connection of its own, because a flood of log lines must not delay leases and facts, and because a
client that reconnects by itself would first send what it had buffered, out of order. After a disconnect a new
connection is made and every chunk that is not acknowledged is published again under its message id, in order; the
server drops those it has. An acknowledged chunk is on disk and keeps its position, whatever happens to the server.
"""

from __future__ import annotations

import asyncio
import logging

import msgspec
import nats
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from trialbook import subjects
from trialbook.clock import Clock
from trialbook.errors import Unavailable
from trialbook.log.connect import close
from trialbook.streams import SIGNALS
from trialbook.subjects import SIGNAL_KINDS, SignalKind
from trialbook.tasks import ended
from trialbook.times import rfc3339
from trialbook_runner.last import last_message

log = logging.getLogger(__name__)
MAX_UNACKED_BYTES = 8 * 1024 * 1024
MAX_UNACKED = 512
ACK_TIMEOUT_S = 3.0
TRUSTED_S = 90.0
"""Absences up to this are covered by the stream's duplicate window (two minutes)."""
RETRY_S = 0.25
CONNECT_TIMEOUT_S = 2.0


class PubAck(msgspec.Struct):
    """The stream's acknowledgement."""

    seq: int = 0
    error: dict[str, object] | None = None


_decode_ack = msgspec.json.Decoder(PubAck).decode


class SignalStream:
    """The signals of one attempt, in order."""

    def __init__(self, publisher: SignalPublisher, workspace: str, run: str, attempt: int) -> None:
        self._publisher = publisher
        self._workspace, self._run, self._attempt = workspace, run, attempt
        self._number = 0
        self._last_number = 0
        self.last_sequence = 0
        """Position in SIGNALS of the last acknowledged chunk; 0: none."""
        self.unacked = 0
        self._settled = asyncio.Event()
        self._settled.set()

    async def put(self, kind: SignalKind, records: bytes) -> None:
        """Publish a JSON array of records; waits while too much is unacknowledged."""
        self._number += 1
        number = self._number
        chunk = self._publisher.chunk(self, number, kind, records)
        self.unacked += 1
        self._settled.clear()
        await self._publisher.publish(chunk)

    async def settled(self) -> int:
        """Wait until everything is acknowledged; returns the last position."""
        await self._settled.wait()
        return self.last_sequence

    def acked(self, number: int, sequence: int) -> None:
        """The publisher's notice."""
        self.unacked -= 1
        if number >= self._last_number:
            self._last_number, self.last_sequence = number, max(sequence, self.last_sequence)
        if not self.unacked:
            self._settled.set()

    def head(self, kind: SignalKind, id_: str, time: str, source: str) -> bytes:
        """The envelope of a chunk up to its records."""
        return (
            f'{{"specversion":"1.0","id":"{id_}","source":"{source}","type":"run.{kind}.v1",'
            f'"subject":"{self._workspace}/run/{self._run}","time":"{time}",'
            f'"data":{{"attempt":{self._attempt},"records":'
        ).encode()

    def subject(self, kind: SignalKind) -> str:
        """Where chunks of this kind go."""
        return subjects.signal(self._workspace, self._run, kind)

    def message_id(self, kind: SignalKind, number: int) -> str:
        """Unique for ever: an attempt number is never given twice."""
        return f"{self._run}-{self._attempt}-{kind}-{number}"


class Chunk(msgspec.Struct):
    """One message on its way; ``sequence`` 0: not acknowledged."""

    stream: SignalStream
    number: int
    id: str
    subject: str
    payload: bytes
    sequence: int = 0
    sent_at: float = 0.0


class SignalPublisher:
    """One per runner. ``start`` before and ``close`` after use."""

    def __init__(self, url: str, source: str, clock: Clock, trusted_s: float = TRUSTED_S) -> None:
        self._url, self._source, self._clock, self._trusted_s = url, source, clock, trusted_s
        self._nc: Client | None = None
        self._inbox = ""
        self._window: dict[str, Chunk] = {}
        """Unacknowledged chunks by id, oldest first."""
        self._unacked_bytes = 0
        self._lost_at = clock.monotonic()
        self._room = asyncio.Event()
        self._broken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to connect."""
        self._task = asyncio.create_task(self._run(), name="signal-publisher")

    async def last_sequence(self, workspace: str, run: str) -> int:
        """The last position of a run in SIGNALS, whoever published it; 0: none. Raises ``Unavailable``."""
        try:
            if self._nc is None:
                raise nats.errors.ConnectionClosedError
            found = [await last_message(self._nc, SIGNALS, subjects.signal(workspace, run, k)) for k in SIGNAL_KINDS]
        except (nats.errors.Error, TimeoutError, OSError) as error:
            raise Unavailable("signals_unavailable", "The stream of signals does not answer.") from error
        return max((last.sequence for last in found if last is not None), default=0)

    async def close(self) -> None:
        """Stop; what is not acknowledged stays unpublished (await ``settled`` of the streams before)."""
        await ended(self._task)
        if self._nc:
            await close(self._nc)

    def stream(self, workspace: str, run: str, attempt: int) -> SignalStream:
        """The signals of one attempt."""
        return SignalStream(self, workspace, run, attempt)

    def chunk(self, stream: SignalStream, number: int, kind: SignalKind, records: bytes) -> Chunk:
        """Wrap records in their envelope."""
        id_ = stream.message_id(kind, number)
        head = stream.head(kind, id_, rfc3339(self._clock.now()), self._source)
        return Chunk(stream, number, id_, stream.subject(kind), b"".join((head, records, b"}}")))

    async def publish(self, chunk: Chunk) -> None:
        """Send a chunk as soon as there is room."""
        while self._nc is None or self._unacked_bytes > MAX_UNACKED_BYTES or len(self._window) >= MAX_UNACKED:
            self._room.clear()
            await self._room.wait()
        self._window[chunk.id] = chunk
        self._unacked_bytes += len(chunk.payload)
        await self._send(self._nc, chunk)

    async def _send(self, nc: Client, chunk: Chunk) -> None:
        chunk.sent_at = self._clock.monotonic()
        try:
            await nc.publish(
                chunk.subject, chunk.payload, reply=f"{self._inbox}.{chunk.id}", headers={"Nats-Msg-Id": chunk.id}
            )
        except (nats.errors.Error, OSError) as error:
            log.debug("signals: %s", error)
            self._broken.set()

    async def _on_ack(self, message: Msg) -> None:
        chunk = self._window.get(message.subject.rsplit(".", 1)[1])
        if chunk is None:
            return
        ack = _decode_ack(message.data) if message.data else PubAck(error={"description": "no responders"})
        if ack.error is not None or not ack.seq:
            log.warning("signals: a chunk was not stored: %s; sending again", ack.error)
            self._broken.set()
            return
        self._stored(chunk, ack.seq)
        if not self._room.is_set():
            self._room.set()

    def _stored(self, chunk: Chunk, sequence: int) -> None:
        del self._window[chunk.id]
        self._unacked_bytes -= len(chunk.payload)
        chunk.sequence = sequence
        chunk.stream.acked(chunk.number, sequence)

    async def _run(self) -> None:
        while True:
            nc = await self._connect()
            try:
                await self._resend(nc)
                self._nc = nc
                self._room.set()
                await self._watch()
            except (nats.errors.Error, OSError, TimeoutError) as error:
                log.warning("signals: %s: %s", type(error).__name__, error)
            finally:
                if self._nc is not None:
                    self._lost_at = self._clock.monotonic()
                self._nc = None
                await close(nc)
            await asyncio.sleep(RETRY_S)

    async def _connect(self) -> Client:
        while True:
            self._broken.clear()
            try:
                nc = await nats.connect(
                    self._url, name=f"{self._source} signals", allow_reconnect=False, pending_size=0,
                    connect_timeout=CONNECT_TIMEOUT_S, ping_interval=5, max_outstanding_pings=2,
                    error_cb=self._on_error, disconnected_cb=self._on_lost, closed_cb=self._on_lost,
                )  # fmt: skip
                self._inbox = nc.new_inbox()
                await nc.subscribe(f"{self._inbox}.*", cb=self._on_ack, pending_msgs_limit=-1, pending_bytes_limit=-1)
            except (nats.errors.Error, OSError, TimeoutError) as error:
                log.debug("signals: %s", error)
                await asyncio.sleep(RETRY_S)
            else:
                return nc

    async def _on_error(self, error: Exception) -> None:
        log.debug("signals: %s: %s", type(error).__name__, error)

    async def _on_lost(self) -> None:
        self._broken.set()

    async def _resend(self, nc: Client) -> None:
        """Publish again, in order, what the server may not have; the first one alone, until the stream is there."""
        if not self._window:
            return
        if self._clock.monotonic() - self._lost_at > self._trusted_s:
            await self._settle_stored(nc)
            if not self._window:
                return
        first, *others = self._window.values()
        await self._until_stored(nc, first)
        for chunk in others:
            await self._send(nc, chunk)

    async def _settle_stored(self, nc: Client) -> None:
        """After a long absence the server has forgotten message ids; the last message of each subject tells as well."""
        by_subject: dict[str, list[Chunk]] = {}
        for chunk in self._window.values():
            by_subject.setdefault(chunk.subject, []).append(chunk)
        for subject, chunks in by_subject.items():
            found = await last_message(nc, SIGNALS, subject)
            ids = [chunk.id for chunk in chunks]
            if found is None or found.id not in ids:
                continue
            for chunk in chunks[: ids.index(found.id) + 1]:
                self._stored(chunk, found.sequence)

    async def _until_stored(self, nc: Client, chunk: Chunk) -> None:
        while chunk.id in self._window:
            await self._send(nc, chunk)
            deadline = self._clock.monotonic() + ACK_TIMEOUT_S
            while chunk.id in self._window and self._clock.monotonic() < deadline and not self._broken.is_set():
                await asyncio.sleep(0.01)
            if self._broken.is_set():
                if not nc.is_connected:
                    raise nats.errors.ConnectionClosedError
                self._broken.clear()
                await asyncio.sleep(RETRY_S)

    async def _watch(self) -> None:
        """Until the connection breaks, a chunk is refused or an acknowledgement is overdue."""
        while not self._broken.is_set():
            try:
                async with asyncio.timeout(ACK_TIMEOUT_S / 3):
                    await self._broken.wait()
            except TimeoutError:
                oldest = next(iter(self._window.values()), None)
                if oldest is not None and self._clock.monotonic() - oldest.sent_at > ACK_TIMEOUT_S:
                    log.warning("signals: no acknowledgement for %.1f s; sending again", ACK_TIMEOUT_S)
                    return

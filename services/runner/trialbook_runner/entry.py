"""One delivered queue entry: the message that grants the right to claim a run, and its lease."""

from __future__ import annotations

import msgspec
from nats.aio.client import Client

from trialbook.codec import decode_event, fact_of
from trialbook.domain.run import RunState, evolve, initial
from trialbook.domain.run.events import Queued, Submitted
from trialbook.domain.run.spec import Isolation
from trialbook.envelope import AggregateId, Event, Metadata
from trialbook.handle import Loaded
from trialbook.subjects import aggregate_of

ACK, NAK, PROGRESS = b"+ACK", b"-NAK", b"+WPI"
ACK_TIMEOUT_S = 2.0


class Entry:
    """``beat_at`` is when the lease was last known to be extended (monotonic seconds)."""

    def __init__(self, nc: Client, reply: str, data: bytes, now: float) -> None:
        self._nc, self._reply, self._data = nc, reply, data
        self.sequence = int(reply.split(".")[-4])
        """Position of the entry's fact in the ledger."""
        self.redelivered = int(reply.split(".")[-5]) > 1
        """Somebody had it before."""
        self.beat_at = now

    def adopt(self, reply: str, now: float) -> None:
        """The same entry was delivered again, to us: its newest delivery is the one to answer."""
        self._reply, self.beat_at = reply, now

    def decode(self) -> tuple[Event, Submitted | Queued]:
        """The fact. Raises ``codec.UnknownEvent`` or ``msgspec.MsgspecError``."""
        event = decode_event(self._data)
        return event, fact_of(event)

    async def ack(self) -> None:
        """Done; without waiting for the server, which at worst delivers it again, to be dropped."""
        await self._nc.publish(self._reply, ACK)

    async def ack_surely(self) -> None:
        """Done; raises a nats error or ``TimeoutError`` when the server does not confirm it."""
        await self._nc.request(self._reply, ACK, timeout=ACK_TIMEOUT_S)

    async def nak(self, delay_s: float = 0.0) -> None:
        """Give it back, to be delivered again after the delay (seconds)."""
        await self._nc.publish(self._reply, nak(delay_s))

    async def beat(self, now: float) -> None:
        """Extend the lease."""
        if self._nc.is_connected:
            await self._nc.publish(self._reply, PROGRESS)
            self.beat_at = now


def nak(delay_s: float) -> bytes:
    """The payload of a negative acknowledgement."""
    return NAK if delay_s <= 0 else NAK + b" " + msgspec.json.encode({"delay": int(delay_s * 1e9)})


class Order(msgspec.Struct, frozen=True):
    """What an entry asks for: its fact, and the run as far as it is known."""

    event: Event
    fact: Submitted | Queued
    known: Loaded[RunState]

    @property
    def isolation(self) -> Isolation:
        """How the run is to be executed."""
        spec = self.known.state.spec
        return spec.isolation if spec is not None else "process"


def known_from(event: Event, fact: Submitted | Queued, sequence: int) -> Loaded[RunState] | None:
    """A ``submitted`` fact taken for the run's whole history, which spares a read; None for other and sealed facts."""
    if not isinstance(fact, Submitted) or event.datakey:
        return None
    return Loaded(evolve(initial(), fact, event.time), sequence)


def caused_by(event: Event, source: str, runner: str) -> Metadata:
    """The metadata of facts that follow from a queue entry."""
    return Metadata(
        source=source,
        actor=f"runner:{runner}",
        correlation=event.correlationid or event.id,
        causation=event.id,
        traceparent=event.traceparent,
        datakey=event.datakey,
    )


def run_of(event: Event) -> AggregateId:
    """The run that an entry is about."""
    return aggregate_of(event)

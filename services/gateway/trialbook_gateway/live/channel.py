"""The taps of one run (or of a workspace's facts), ordered and checked for gaps, pushed into a ring.

A channel promises: after ``barrier`` every message of its subject is in the ring, in order, until ``generation``
changes. What was before the barrier is the projector's business. A generation ends when something may have been missed:
a gap in the chain of ``Nats-Last-Sequence``, a reconnect, or signals that a verdict speaks of and that do not come.
"""

from __future__ import annotations

import asyncio
import logging

import msgspec
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from trialbook.codec import UnknownEvent, decode_event
from trialbook.domain.run import events as e
from trialbook.errors import Refusal
from trialbook.log.api import ApiError, call
from trialbook.log.connect import settled
from trialbook.streams import FACTS, SIGNALS
from trialbook_gateway.live.items import Position
from trialbook_gateway.live.reading import VERDICTS, attempt_of, fact_items, signal_items, verdict_of
from trialbook_gateway.live.ring import Entry, Ring

log = logging.getLogger(__name__)
PENDING_MESSAGES = 65_536
PENDING_BYTES = 64 * 1024 * 1024
LATE_SIGNALS_S = 0.5
BARRIER_RETRY_S = 0.2
LAST_OF = "Nats-Last-Sequence"
SEQUENCE = "Nats-Sequence"


class Channel(Ring):
    """Followed by any number of followers; ``open`` before and ``close`` after use."""

    def __init__(self, nc: Client, taps: list[str], max_bytes: int, *, ends: bool) -> None:
        super().__init__(max_bytes)
        self._nc, self._taps, self._ends = nc, taps, ends
        self._subscriptions: list[Subscription] = []
        self._barrier: Position | None = None
        self._opening: asyncio.Task[None] | None = None
        self._chain: dict[str, int] = {}
        self._seen_signals = 0
        self._attempt = 0
        self._over = False
        """A verdict has been given: signals after its own last one do not exist."""
        self._late: asyncio.TimerHandle | None = None
        self._waiting_facts: list[tuple[int, Msg]] = []
        """A verdict whose signals have not all come, and what came after it."""
        self._held: list[Entry] = []
        """Signals of an attempt that lost the run: they count only if the run's own signals go beyond them."""
        self.resets = 0

    async def open(self) -> None:
        """Subscribe, then find out where the promise begins."""
        for tap in self._taps:
            self._subscriptions.append(
                await self._nc.subscribe(
                    tap, cb=self._on_message, pending_msgs_limit=PENDING_MESSAGES, pending_bytes_limit=PENDING_BYTES
                )
            )
        self._find_barrier()

    async def close(self) -> None:
        """Unsubscribe."""
        if self._opening is not None:
            self._opening.cancel()
        if self._late is not None:
            self._late.cancel()
        if not self._nc.is_closed:
            for subscription in self._subscriptions:
                try:
                    await subscription.unsubscribe()
                except (nats.errors.Error, OSError) as error:
                    log.info("unsubscribing: %s", error)  # the connection is lost and the subscription with it

    async def barrier(self) -> Position:
        """Stream sequences from which on the ring is complete."""
        while self._barrier is None:
            assert self._opening is not None
            await asyncio.shield(self._opening)
        return self._barrier

    def owned_by(self, attempt: int) -> None:
        """Note which attempt owns the run, as the projector knows it."""
        self._attempt = max(self._attempt, attempt)

    def reset(self, why: str) -> None:
        """Begin a new generation, because something may be missing."""
        log.info("reading again: %s", why)
        self.resets += 1
        self._barrier = None
        self._chain.clear()
        self._waiting_facts.clear()
        self._held.clear()
        self._seen_signals = self._attempt = 0
        self._over = False
        if self._late is not None:
            self._late.cancel()
            self._late = None
        self.clear()
        self._find_barrier()

    def _find_barrier(self) -> None:
        if self._opening is None or self._opening.done():
            self._opening = asyncio.create_task(self._measure(), name="live-barrier")

    async def _measure(self) -> None:
        """Everything stored before this moment is in the projector's part, everything after it comes by the taps."""
        while True:
            generation = self.generation
            try:
                await settled(self._nc)
                facts, signals = await asyncio.gather(
                    call(self._nc, f"STREAM.INFO.{FACTS}"), call(self._nc, f"STREAM.INFO.{SIGNALS}")
                )
            except (nats.errors.Error, OSError, TimeoutError, ApiError, Refusal) as error:
                log.info("measuring the streams: %s", error)
                await asyncio.sleep(BARRIER_RETRY_S)
                continue
            if generation == self.generation:
                break
        self._barrier = Position(int(facts["state"]["last_seq"]), int(signals["state"]["last_seq"]))
        self._seen_signals = max(self._seen_signals, self._barrier.signals)
        self._release_verdict()

    async def _on_message(self, message: Msg) -> None:
        headers = message.headers or {}
        try:
            sequence, before = int(headers[SEQUENCE]), int(headers[LAST_OF])
        except (KeyError, ValueError):
            return  # not a republished message: somebody else speaks on this subject
        _, what, *_middle, last = message.subject.split(".")
        if self._gap(message.subject, sequence, before, signal=what == "signal"):
            self.reset(f"a gap before {sequence} on {message.subject}")
            return
        try:
            if what == "signal":
                self._on_signal(last, sequence, message.data)
            else:
                self._on_fact(sequence, message)
        except (msgspec.MsgspecError, UnknownEvent, ValueError) as error:
            log.warning("unreadable message %d on %s: %s", sequence, message.subject, error)

    def _gap(self, subject: str, sequence: int, before: int, *, signal: bool) -> bool:
        known = self._chain.get(subject)
        self._chain[subject] = sequence
        if known is not None:
            return before != known
        if self._barrier is None:
            return False
        return before > (self._barrier.signals if signal else self._barrier.facts)

    def _on_signal(self, kind: str, sequence: int, payload: bytes) -> None:
        self._seen_signals = max(self._seen_signals, sequence)
        if self._over:
            return
        attempt = attempt_of(payload).data.attempt
        entry = Entry(signal_items(kind, sequence, payload), len(payload), signals=sequence)
        if attempt < self._attempt:
            self._held.append(entry)
            return
        self._attempt = attempt
        self._release_held()
        self.push(entry)
        if self._waiting_facts:
            self._release_verdict()

    def _release_held(self, up_to: int | None = None) -> None:
        for entry in self._held:
            if up_to is None or entry.signals <= up_to:
                self.push(entry)
        self._held.clear()

    def _on_fact(self, sequence: int, message: Msg) -> None:
        if self._waiting_facts:
            self._waiting_facts.append((sequence, message))
            return
        event = decode_event(message.data)
        verdict = self._ends and event.type in VERDICTS
        if verdict and event.type != e.Deleted.TYPE:
            last = verdict_of(event).signal_sequence
            if last > self._seen_signals:
                self._waiting_facts.append((sequence, message))
                self._late = asyncio.get_running_loop().call_later(LATE_SIGNALS_S, self._signals_are_late)
                return
            self._release_held(last)
            self._over = True
        elif event.type == e.Queued.TYPE:
            self._over = False
        elif event.type == e.Started.TYPE:
            self._attempt = max(self._attempt, verdict_of(event).attempt)
        self.push(Entry(fact_items(sequence, event, final=verdict), len(message.data), facts=sequence))

    def _release_verdict(self) -> None:
        waiting, self._waiting_facts = self._waiting_facts, []
        if self._late is not None:
            self._late.cancel()
            self._late = None
        for sequence, message in waiting:
            try:
                self._on_fact(sequence, message)
            except (msgspec.MsgspecError, UnknownEvent, ValueError) as error:
                log.warning("unreadable message %d on %s: %s", sequence, message.subject, error)

    def _signals_are_late(self) -> None:
        self._late = None
        self.reset("signals of a verdict did not come")

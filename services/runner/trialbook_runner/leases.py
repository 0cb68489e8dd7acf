"""Heartbeats of everything this runner holds, every third of the lease, and the suspicion after a standstill.

A process that was stopped (SIGSTOP, a suspended machine, a blocked loop) finds deliveries in its socket that the server
has meanwhile given to others. It must neither claim nor answer them: whatever was received before the server answered a
ping sent after the standstill is ignored, and delivered again when nobody else has it.

A server that comes back counts the time of its absence and takes every lease for expired. For one lease after a
reconnect nobody takes over what another runner executes: its owner reconnects as well and goes on beating.
"""

from __future__ import annotations

import asyncio
import logging

import nats.errors
from nats.aio.client import Client

from trialbook.clock import Clock
from trialbook_runner.entry import Entry

log = logging.getLogger(__name__)
SETTLE_S = 0.05
"""Between the answered ping and trust: what was received before it is handled by then."""


class Leases:
    """Entries by sequence. An entry without a heartbeat for a whole lease must be verified before anything is said."""

    def __init__(self, nc: Client, clock: Clock, lease_s: float) -> None:
        self._nc, self._clock, self.lease_s = nc, clock, lease_s
        self._held: dict[int, Entry] = {}
        self._pulse_at = clock.monotonic()
        self._doubtful = False
        self._reconnects = nc.stats["reconnects"]
        self._settled_at = 0.0

    def hold(self, entry: Entry) -> None:
        """Keep its lease alive from now on."""
        self._held[entry.sequence] = entry

    def release(self, entry: Entry) -> None:
        """Stop."""
        self._held.pop(entry.sequence, None)

    def held(self, sequence: int) -> Entry | None:
        """Our entry at this position, when we hold it."""
        return self._held.get(sequence)

    def fresh(self, entry: Entry) -> bool:
        """Whether the lease cannot have run out."""
        return self._clock.monotonic() - entry.beat_at < self.lease_s

    @property
    def doubtful(self) -> bool:
        """Whether deliveries may be older than they seem."""
        return self._doubtful or self._clock.monotonic() - self._pulse_at > self.lease_s / 2

    @property
    def settling(self) -> bool:
        """Whether a reconnect is so recent that expired leases need not mean lost attempts."""
        if self._nc.stats["reconnects"] != self._reconnects:
            self._reconnects = self._nc.stats["reconnects"]
            self._settled_at = self._clock.monotonic() + self.lease_s
        return self._clock.monotonic() < self._settled_at

    async def run(self) -> None:
        """Beat for ever; an entry is due at a third of the lease."""
        pause_s = self.lease_s / 6
        while True:
            await asyncio.sleep(pause_s)
            if self.doubtful:
                await self._regain_trust()
            now = self._pulse_at = self._clock.monotonic()
            due_s = 0.0 if self.settling else self.lease_s / 3 - pause_s / 2
            for entry in list(self._held.values()):
                # Younger entries (most inline ones) end before they need a heartbeat. An overdue one may be somebody
                # else's by now: its attempt is to verify that first.
                if due_s < now - entry.beat_at < self.lease_s:
                    await entry.beat(now)

    async def _regain_trust(self) -> None:
        self._doubtful = True
        log.warning("this runner stood still; ignoring what it was given before")
        try:
            await self._nc.flush(timeout=max(1, int(self.lease_s)))
        except (nats.errors.Error, TimeoutError) as error:
            log.warning("after the standstill: %s", type(error).__name__)
            return  # doubtful until the next try
        await asyncio.sleep(SETTLE_S)
        self._doubtful = False

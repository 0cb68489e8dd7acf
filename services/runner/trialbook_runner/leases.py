"""Heartbeats of everything this runner holds, every third of the lease, and the suspicion after a standstill.

A process that was stopped (SIGSTOP, a suspended machine, a blocked loop) finds deliveries in its socket that the server
has meanwhile given to others. It must neither claim nor answer them: whatever was received before the server answered a
ping sent after the standstill is ignored, and delivered again when nobody else has it.
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

    async def run(self) -> None:
        """Beat for ever."""
        pause_s = self.lease_s / 6
        beat_at = self._clock.monotonic()
        while True:
            await asyncio.sleep(pause_s)
            if self.doubtful:
                await self._regain_trust()
            now = self._pulse_at = self._clock.monotonic()
            if now - beat_at < self.lease_s / 3 - pause_s / 2:
                continue
            beat_at = now
            for entry in list(self._held.values()):
                # Younger entries (most inline ones) end before they need a heartbeat. An overdue one may be somebody
                # else's by now: its attempt is to verify that first.
                if pause_s < now - entry.beat_at < self.lease_s:
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

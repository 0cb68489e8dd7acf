"""Heartbeats of everything this runner holds: every third of the lease."""

from __future__ import annotations

import asyncio
import logging

from nats.aio.client import Client

from trialbook.clock import Clock
from trialbook_runner.entry import Entry

log = logging.getLogger(__name__)


class Leases:
    """Entries by sequence. An entry without a heartbeat for a whole lease must be verified before anything is said."""

    def __init__(self, nc: Client, clock: Clock, lease_s: float) -> None:
        self._nc, self._clock, self.lease_s = nc, clock, lease_s
        self._held: dict[int, Entry] = {}

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

    async def run(self) -> None:
        """Beat for ever."""
        pause_s = self.lease_s / 3
        while True:
            await asyncio.sleep(pause_s)
            now = self._clock.monotonic()
            for entry in list(self._held.values()):
                # Younger entries (most inline ones) end before they need a heartbeat. An overdue one may be somebody
                # else's by now: its attempt is to verify that first.
                if pause_s / 2 < now - entry.beat_at < self.lease_s:
                    await entry.beat(now)

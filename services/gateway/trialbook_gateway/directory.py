"""Runners and workloads, from what they announce on the PRESENCE stream."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
from nats.aio.client import Client

from trialbook import subjects
from trialbook.clock import Clock
from trialbook.errors import Invalid, NotFound
from trialbook.log.tail import Message
from trialbook.presence import MISSING_AFTER_S, RunnerInfo, WorkloadInfo
from trialbook.proofs import LedgerInfo
from trialbook.streams import PRESENCE
from trialbook_gateway.follow import Follower


class Runner(msgspec.Struct, frozen=True):
    """A runner's last word, and whether it is ``ready``, ``draining``, ``stopped`` or ``missing``."""

    info: RunnerInfo
    state: str

    @property
    def live(self) -> bool:
        """Whether it takes work now."""
        return self.state == "ready"


class Directory:
    """Follows PRESENCE. Ages are taken from the server's time of a heartbeat, or from its arrival once caught up."""

    def __init__(self, nc: Client, clock: Clock) -> None:
        self._clock = clock
        self._runners: dict[str, tuple[RunnerInfo, datetime]] = {}
        self._workloads: dict[str, WorkloadInfo] = {}
        self._ledgers: dict[str, LedgerInfo] = {}
        self._follower = Follower(nc, PRESENCE, [subjects.PRESENCE_ALL], self._apply)

    async def start(self, wait_s: float) -> None:
        """Begin to follow, and wait up to ``wait_s`` seconds for what is there already."""
        await self._follower.start(wait_s)

    async def close(self) -> None:
        """Stop following."""
        await self._follower.close()

    def _apply(self, message: Message) -> None:
        what = message.subject.split(".")[1]
        if what == "runner":
            info = msgspec.json.decode(message.data, type=RunnerInfo)
            stored = datetime.fromtimestamp(message.time_ns / 1e9, UTC)
            self._runners[info.id] = (info, self._clock.now() if self._follower.caught_up.is_set() else stored)
        elif what == "workload":
            workload = msgspec.json.decode(message.data, type=WorkloadInfo)
            self._workloads[workload.name] = workload
        elif what == "ledger":
            ledger = msgspec.json.decode(message.data, type=LedgerInfo)
            self._ledgers[ledger.id] = ledger

    def ledgers(self) -> list[LedgerInfo]:
        """What every projector has last said about the ledger."""
        return list(self._ledgers.values())

    def damage(self) -> LedgerInfo | None:
        """What a projector has found damaged and not taken back."""
        return next((ledger for ledger in self._ledgers.values() if ledger.state == "damaged"), None)

    def runners(self) -> list[Runner]:
        """Every runner ever heard of, by name."""
        now = self._clock.now()
        found = []
        for info, seen in self._runners.values():
            gone = info.state != "stopped" and (now - seen).total_seconds() > MISSING_AFTER_S
            found.append(Runner(info, "missing" if gone else info.state))
        return sorted(found, key=lambda runner: (runner.info.name, runner.info.id))

    def workloads(self) -> list[WorkloadInfo]:
        """Every announced workload, by name."""
        return sorted(self._workloads.values(), key=lambda workload: workload.name)

    def available(self) -> frozenset[str]:
        """Names of the workloads that a live runner executes."""
        return frozenset(name for runner in self.runners() if runner.live for name in runner.info.workloads)

    def workload(self, name: str) -> WorkloadInfo:
        """One workload. Raises ``NotFound`` (code ``workload_not_found``, ``known`` names the others)."""
        found = self._workloads.get(name)
        if found is None:
            raise NotFound("workload_not_found", self._unknown(name), known=sorted(self._workloads)[:100])
        return found

    def ordered(self, name: str) -> WorkloadInfo:
        """One workload named in an order. Raises ``Invalid`` (code ``unknown_workload``; ``known`` names others)."""
        found = self._workloads.get(name)
        if found is None:
            raise Invalid("unknown_workload", self._unknown(name), known=sorted(self._workloads)[:100])
        return found

    def _unknown(self, name: str) -> str:
        known = ", ".join(sorted(self._workloads)[:20]) or "none yet; is a runner running?"
        return f"No runner has announced the workload {name[:80]!r}. Known: {known}."

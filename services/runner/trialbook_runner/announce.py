"""Presence: this runner and its workloads, said on ``presence.>``."""

from __future__ import annotations

import asyncio
import socket
from os import getpid

import msgspec
import nats.errors
from nats.aio.client import Client

from trialbook import __version__, subjects
from trialbook.presence import HEARTBEAT_S, Pool, RunnerInfo, WorkloadInfo
from trialbook.times import rfc3339
from trialbook_runner.attempt import Parts
from trialbook_runner.claim import Pool as ClaimPool

WORKLOADS_EVERY = 30
"""Heartbeats between two announcements of the workloads: about a minute."""


class Announcer:
    """Heartbeats of one runner; ``state`` is ready, draining or stopped."""

    def __init__(self, nc: Client, parts: Parts, runner_id: str, pools: list[ClaimPool]) -> None:
        self._nc, self._parts, self._id, self._pools = nc, parts, runner_id, pools
        self._started_at = rfc3339(parts.clock.now())
        self.state = "ready"

    async def run(self) -> None:
        """Announce for ever."""
        beats = 0
        while True:
            if beats % WORKLOADS_EVERY == 0:
                await self.announce_workloads()
            await self.beat()
            beats += 1
            await asyncio.sleep(HEARTBEAT_S)

    async def beat(self) -> None:
        """One heartbeat."""
        await self._publish(subjects.presence("runner", self._id), self._info())

    async def announce_workloads(self) -> None:
        """Say which workloads there are and which parameters they take."""
        for workload in self._parts.registry.workloads.values():
            info = WorkloadInfo(
                name=workload.name, version=workload.version, title=workload.title, description=workload.description,
                isolation=workload.isolation, pool=workload.pool, timeout_s=workload.timeout_s,
                params_schema=workload.schema(),
            )  # fmt: skip
            await self._publish(subjects.presence("workload", workload.name), info)

    def _info(self) -> RunnerInfo:
        settings = self._parts.settings
        return RunnerInfo(
            id=self._id, name=settings.name, host=socket.gethostname(), pid=getpid(), version=__version__,
            state=self.state, labels=settings.labels,
            pools={p.name: Pool(slots=p.slots, busy=p.busy) for p in self._pools},
            workloads=sorted(self._parts.registry.workloads), broken=self._parts.registry.broken,
            runs=[aggregate.id for aggregate in self._parts.attempts], lease_s=settings.lease_s,
            sandbox=self._parts.walls.wall or "", started_at=self._started_at,
            heartbeat_at=rfc3339(self._parts.clock.now()),
        )  # fmt: skip

    async def _publish(self, subject: str, info: msgspec.Struct) -> None:
        if not self._nc.is_connected:
            return  # the next heartbeat comes soon; buffered old ones would lie
        try:
            await self._nc.publish(subject, msgspec.json.encode(info))
        except nats.errors.ConnectionClosedError:
            return

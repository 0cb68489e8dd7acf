"""Plays a runner by hand: claims, emits signals, gives verdicts."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
from nats.aio.client import Client

from trialbook import subjects
from trialbook.clock import SystemClock
from trialbook.codec import encode
from trialbook.domain.run import commands as c
from trialbook.envelope import AggregateId, Event, Metadata
from trialbook.handle import Handler
from trialbook.ids import UUIDv7Source
from trialbook.log.nats import NatsEventLog
from trialbook.presence import WorkloadInfo
from trialbook.signals import Log, Logs, Metric, Metrics, Progress, Progresses
from trialbook.subjects import SignalKind
from trialbook.times import rfc3339

META = Metadata(source="test/runner", actor="runner:test")
SCHEMA = {
    "type": "object",
    "properties": {"n": {"type": "integer", "minimum": 1}, "mode": {"enum": ["a", "b"]}},
    "additionalProperties": False,
}


def workload(name: str, isolation: str = "process") -> WorkloadInfo:
    """An announcement of a workload that no real runner executes."""
    return WorkloadInfo(
        name=name, version="1", title=name, description="", isolation=isolation, pool="hand", timeout_s=None,
        params_schema=SCHEMA,
    )  # fmt: skip


class Actor:
    """Executes runs step by step, as a test says."""

    def __init__(self, nc: Client) -> None:
        self.nc = nc
        self.clock, self.ids = SystemClock(), UUIDv7Source()
        self.log = NatsEventLog(nc)
        self.handler = Handler(self.log, self.clock, self.ids)
        self._number = itertools.count(1)
        self.last_signal = 0

    async def start(self) -> None:
        await self.log.start()

    async def close(self) -> None:
        await self.log.close()

    async def handle(self, run: str, command: Any, workspace: str = "main") -> Any:
        return await self.handler.handle(AggregateId(workspace, "run", run), command, META)

    async def claim(self, run: str) -> int:
        """Take the run; returns the attempt."""
        state = (await self.handler.load(AggregateId("main", "run", run))).state
        outcome = await self.handle(run, c.Claim(ticket=state.ticket, runner="test"))
        return int(outcome.state.attempt)

    async def emit(self, run: str, kind: SignalKind, data: Any, workspace: str = "main") -> int:
        """Publish one signal message; returns its sequence."""
        event = Event(
            specversion="1.0", id=self.ids.new(), source="test/runner", type=f"run.{kind}.v1",
            subject=f"{workspace}/run/{run}", time=rfc3339(self.clock.now()), data=msgspec.Raw(encode(data)),
        )  # fmt: skip
        reply = await self.nc.request(subjects.signal(workspace, run, kind), encode(event), timeout=30)
        self.last_signal = int(msgspec.json.decode(reply.data)["seq"])
        return self.last_signal

    def _now_us(self) -> int:
        return int(self.clock.now().timestamp() * 1_000_000)

    async def lines(self, run: str, count: int, attempt: int = 1, level: str = "info") -> int:
        """Publish a chunk of numbered log lines."""
        records = [Log(self._now_us(), level, f"line {next(self._number)}", "probe") for _ in range(count)]
        return await self.emit(run, "log", Logs(attempt, records))

    async def metric(self, run: str, value: float, attempt: int = 1) -> int:
        return await self.emit(run, "metric", Metrics(attempt, [Metric(self._now_us(), "loss", value)]))

    async def progress(self, run: str, done: float, attempt: int = 1) -> int:
        return await self.emit(run, "progress", Progresses(attempt, [Progress(self._now_us(), done, 10.0)]))

    async def complete(self, run: str, attempt: int = 1, result: Any = None, last: int | None = None) -> None:
        signals = self.last_signal if last is None else last
        await self.handle(run, c.Complete(attempt=attempt, result=result, signal_sequence=signals))

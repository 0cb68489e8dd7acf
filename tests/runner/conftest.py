"""A ledger, runner processes that can be killed, and a client that submits runs and waits for them."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import nats.js.errors
import pytest
from nats.aio.client import Client

from trialbook import subjects
from trialbook.clock import SystemClock
from trialbook.codec import decode_event, fact_of
from trialbook.domain.run import RunSpec, RunState
from trialbook.domain.run import commands as c
from trialbook.envelope import AggregateId, Metadata
from trialbook.handle import Handler, fresh
from trialbook.ids import UUIDv7Source
from trialbook.log.nats import NatsEventLog, connect
from trialbook.log.setup import ensure_streams
from trialbook.log.tail import Tail
from trialbook.presence import RunnerInfo, WorkloadInfo
from trialbook.streams import PRESENCE, SIGNALS
from trialbook.testing.server import NatsServer

LEASE_S = 30.0
"""No pause of a busy machine is as long, so that no run is taken from a runner that is only slow."""
SHORT_S = 1.5
SHORT = {"TRIALBOOK_LEASE_S": str(SHORT_S)}
"""For runners whose runs are to be taken over."""
PATIENCE_S = 60.0
"""How long anything that has to happen is waited for."""
ROOT = Path(__file__).parent
META = Metadata(source="tests", actor="test")


class Ledger:
    """What a client of the service would do, straight on the ledger."""

    def __init__(self, nc: Client, log: NatsEventLog) -> None:
        self.nc, self.log = nc, log
        self.ids = UUIDv7Source()
        self.handler = Handler(log, SystemClock(), self.ids)

    async def submit(self, workload: str, params: dict[str, Any] | None = None, **spec: Any) -> AggregateId:
        run = AggregateId("default", "run", self.ids.new())
        order = msgspec.convert({"workload": workload, "params": params or {}, **spec}, RunSpec)
        await self.handler.handle(run, c.Create(spec=order, ticket=self.ids.new()), META, fresh("run"))
        return run

    async def command(self, run: AggregateId, command: c.Command) -> None:
        await self.handler.handle(run, command, META)

    async def state(self, run: AggregateId) -> RunState:
        state: RunState = (await self.handler.load(run)).state
        return state

    async def until(
        self, run: AggregateId, holds: Callable[[RunState], bool], timeout_s: float = PATIENCE_S
    ) -> RunState:
        deadline = time.monotonic() + timeout_s
        while True:
            state = await self.state(run)
            if holds(state):
                return state
            assert time.monotonic() < deadline, f"not in time: {state}\n{await self.types(run)}"
            await asyncio.sleep(0.02)

    async def begun(self, run: AggregateId) -> RunState:
        """Once an attempt has been claimed; it may have ended since."""
        return await self.until(run, lambda s: s.attempt > 0)

    async def end(self, run: AggregateId, timeout_s: float = PATIENCE_S) -> RunState:
        return await self.until(run, lambda s: s.terminal, timeout_s)

    async def facts(self, run: AggregateId) -> list[Any]:
        return [fact_of(r.event) for r in await self.log.read(run)]

    async def types(self, run: AggregateId) -> list[str]:
        return [r.event.type.split(".")[1] for r in await self.log.read(run)]

    async def signals(self, run: AggregateId, kind: str = "*") -> list[dict[str, Any]]:
        """All records of a run in the order of the stream, each with its attempt, kind and stream sequence."""
        subject = subjects.signals_of(run.workspace, run.id, kind)
        try:
            last = (await self.nc.jetstream(timeout=PATIENCE_S).get_last_msg(SIGNALS, subject)).seq or 0
        except nats.js.errors.NotFoundError:
            return []
        records: list[dict[str, Any]] = []
        async with Tail(self.nc, SIGNALS, [subject], 0) as tail:
            while tail.position < last:
                batch = await tail.next(timeout_s=PATIENCE_S)
                assert batch, f"signals up to {tail.position} of {last}"
                for message in batch:
                    event = decode_event(message.data)
                    data = msgspec.json.decode(event.data)
                    for record in data["records"]:
                        place = {"attempt": data["attempt"], "type": event.type, "sequence": message.sequence}
                        records.append(record | place)
        return records


async def told(ledger: Ledger, holds: Callable[[RunnerInfo], bool]) -> tuple[RunnerInfo, dict[str, WorkloadInfo]]:
    """The first heartbeat for which something holds, and the workloads announced before it."""
    workloads: dict[str, WorkloadInfo] = {}
    async with asyncio.timeout(PATIENCE_S), Tail(ledger.nc, PRESENCE, [subjects.PRESENCE_ALL], 0) as tail:
        while True:
            for message in await tail.next():
                if ".workload." in message.subject:
                    workload = msgspec.json.decode(message.data, type=WorkloadInfo)
                    workloads[workload.name] = workload
                elif holds(info := msgspec.json.decode(message.data, type=RunnerInfo)):
                    return info, workloads


class RunnerProcess:
    """One runner as an operating system process."""

    def __init__(self, url: str, name: str, data_dir: Path, **env: str) -> None:
        plugins = str(ROOT / "plugins")
        self.name = name
        self.log = data_dir / f"{name}.log"
        environment = {
            **os.environ, "TRIALBOOK_NATS_URL": url, "TRIALBOOK_RUNNER_NAME": name, "TRIALBOOK_DATA_DIR": str(data_dir),
            "TRIALBOOK_LEASE_S": str(LEASE_S), "PYTHONPATH": plugins, "PYTHONUNBUFFERED": "1", **env,
        }  # fmt: skip
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "trialbook_runner"], env=environment, stdout=output, stderr=output
            )

    async def ready(self) -> RunnerProcess:
        deadline = time.monotonic() + PATIENCE_S
        while "is ready" not in self.log.read_text():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                pytest.fail(f"the runner is not ready:\n{self.log.read_text()}")
            await asyncio.sleep(0.02)
        return self

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    async def stop(self) -> int:
        if self.process.poll() is None:
            self.process.terminate()
        return await asyncio.to_thread(self.process.wait, PATIENCE_S)


@pytest.fixture
def nats_server(tmp_path: Path) -> Iterator[NatsServer]:
    server = NatsServer(tmp_path / "nats").start()
    yield server
    server.kill()


@pytest.fixture
async def ledger(nats_server: NatsServer) -> AsyncIterator[Ledger]:
    nc = await connect(nats_server.url, name="test")
    await ensure_streams(nc)
    log = NatsEventLog(nc)
    await log.start()
    yield Ledger(nc, log)
    await log.close()
    await nc.close()


@pytest.fixture
async def start_runner(ledger: Ledger, nats_server: NatsServer, tmp_path: Path) -> AsyncIterator[Any]:
    """``await start_runner("a", TRIALBOOK_RUNNER_POOLS="default=1")``."""
    started: list[RunnerProcess] = []

    async def start(name: str = "a", **env: str) -> RunnerProcess:
        runner = RunnerProcess(nats_server.url, name, tmp_path, **env)
        started.append(runner)
        return await runner.ready()

    yield start
    for runner in started:
        if runner.process.poll() is None:
            runner.signal(signal.SIGCONT)
            runner.kill()
        sys.stdout.write(runner.log.read_text())  # shown when the test fails

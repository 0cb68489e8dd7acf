"""A ledger made by hand, tables in a file of a test's own, and the real service as a process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
from nats.aio.client import Client

from trialbook import subjects
from trialbook.asking import NatsAsk
from trialbook.clock import FixedClock
from trialbook.codec import encode, event_of, route_of
from trialbook.domain.run import RunSpec
from trialbook.domain.run import events as e
from trialbook.envelope import AggregateId, Event, Metadata
from trialbook.ids import CountingIds
from trialbook.log.tail import Message
from trialbook.queries import Answer, Health, Query
from trialbook_projector.queries.reading import Reading
from trialbook_projector.tables.store import Limits, open_store
from trialbook_projector.tables.writer import Capacity, Writer

T0_US = 1_767_225_600_000_000  # 2026-01-01T00:00:00Z
PATIENCE_S = 60.0
"""How long anything that has to happen is waited for."""


class Ledger:
    """Makes messages as the streams would hold them."""

    def __init__(self) -> None:
        self.ids = CountingIds()
        self.clock = FixedClock()
        self.facts: list[Message] = []
        self.signals: list[Message] = []

    def fact(self, kind: str, id_: str, fact: Any, workspace: str = "main") -> int:
        """Append a fact; returns its sequence."""
        aggregate = AggregateId(workspace, kind, id_)
        event = event_of(aggregate, fact, Metadata(source="test", actor="alice"), self.ids, self.clock)
        return self.raw_fact(subjects.fact(aggregate, event.type, route_of(fact)), encode(event))

    def raw_fact(self, subject: str, data: bytes) -> int:
        self.facts.append(Message(len(self.facts) + 1, subject, data, T0_US * 1000))
        return len(self.facts)

    def run(self, *, workspace: str = "main", id_: str = "", **spec: Any) -> str:
        """A submitted run; returns its id."""
        id_ = id_ or self.ids.new()
        self.fact("run", id_, e.Submitted(spec=RunSpec(**{"workload": "noop", **spec}), ticket="t"), workspace)
        return id_

    def signal(
        self, run: str, kind: Any, records: list[dict[str, Any]], attempt: int = 1, workspace: str = "main"
    ) -> int:
        """Append a chunk; returns its sequence."""
        event = Event(
            specversion="1.0", id=self.ids.new(), source="test", type=f"run.{kind}.v1",
            subject=f"{workspace}/run/{run}", time="2026-01-01T00:00:00.000000Z",
            data=msgspec.Raw(encode({"attempt": attempt, "records": records})),
        )  # fmt: skip
        return self.raw_signal(subjects.signal(workspace, run, kind), encode(event))

    def raw_signal(self, subject: str, data: bytes) -> int:
        self.signals.append(Message(len(self.signals) + 1, subject, data, T0_US * 1000))
        return len(self.signals)

    def logs(self, run: str, count: int, start: int = 0, **other: Any) -> int:
        """A chunk of lines ``line <n>``."""
        return self.signal(
            run, "log", [{"time": T0_US + n, "message": f"line {n}"} for n in range(start, start + count)], **other
        )


class Book:
    """Tables in a file, written directly."""

    def __init__(self, path: Path, capacity: Capacity) -> None:
        self.store = open_store(path, Limits(memory_mb=256, threads=1))
        self.writer = Writer(self.store, capacity)

    def apply(self, ledger: Ledger, step: int = 10_000) -> None:
        """Apply what is not applied yet, ``step`` messages of either stream at a time."""
        facts = ledger.facts[self.writer.positions.facts :]
        signals = ledger.signals[self.writer.positions.signals :]
        while facts or signals:
            self.put(facts[:step], signals[:step])
            facts, signals = facts[step:], signals[step:]

    def put(self, facts: list[Message], signals: list[Message]) -> None:
        for applied in self.writer.apply(facts, signals):
            self.writer.publish(applied)

    def reading(self, workspace: str = "main") -> Reading:
        """Read as a question of ``workspace`` would."""
        return Reading(self.store.cursor(), workspace, self.writer.caches, self.writer.positions)

    def rows(self, sql: str) -> list[Any]:
        found: list[Any] = self.store.writer.execute(sql).fetchall()
        return found


class Service:
    """``python -m trialbook_projector`` as a process of its own."""

    def __init__(self, url: str, data: Path) -> None:
        self.folder = data / "projector"
        self.environment = {**os.environ, "TRIALBOOK_NATS_URL": url, "TRIALBOOK_DATA_DIR": str(data)}
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "trialbook_projector", env=self.environment
        )

    async def kill(self) -> None:
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()

    async def terminate(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return await self.process.wait()

    async def command(self, *arguments: str) -> tuple[int, bytes]:
        """Run a command of the module; exit code and output."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "trialbook_projector", *arguments, env=self.environment,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        output, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, output


class Asking(NatsAsk):
    """Asks as long as it takes a busy machine to answer, a projector that is starting included."""

    async def ask(self, workspace: str, query: Query, timeout_s: float = PATIENCE_S) -> Answer:
        return await super().ask(workspace, query, timeout_s)

    async def ask_bytes(self, workspace: str, query: Query, timeout_s: float = PATIENCE_S) -> tuple[bytes, str]:
        return await super().ask_bytes(workspace, query, timeout_s)


class Stack:
    """A nats-server, a client, and a projector."""

    def __init__(self, nc: Client, service: Service) -> None:
        self.nc, self.service, self.ask = nc, service, Asking(nc)

    async def publish(self, ledger: Ledger) -> tuple[int, int]:
        """Publish everything made so far and not published yet; returns the last sequences."""
        js = self.nc.jetstream()
        last = [0, 0]
        for i, messages in enumerate((ledger.facts, ledger.signals)):
            for message in messages:
                last[i] = (await js.publish(message.subject, message.data)).seq
            messages.clear()
        return last[0], last[1]

    async def ready(self, facts: int = 0, signals: int = 0) -> None:
        """Wait until the projector answers and has applied these positions."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            answer = await self.ask.ask("_", Health())
            if answer.facts >= facts and answer.signals >= signals:
                return
            assert time.monotonic() < deadline, f"{answer.facts} of {facts}, {answer.signals} of {signals}"
            await asyncio.sleep(0.02)

"""Fills the streams with facts and signals in the envelope that the services write, much faster than they would.

The facts of one run are decided once by the real handler; every further run is the same text with other ids and times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from benchmarks.wire import Wire
from trialbook import subjects
from trialbook.clock import FixedClock
from trialbook.codec import encode, route_of
from trialbook.domain.run import RunSpec
from trialbook.domain.run.commands import Claim, Complete, Create, Fail, RequestCancel
from trialbook.envelope import AggregateId, Event, Metadata
from trialbook.handle import Handler, fresh
from trialbook.ids import CountingIds
from trialbook.log.memory import MemoryEventLog
from trialbook.signals import Log, Logs, Metric, Metrics
from trialbook.subjects import SignalKind
from trialbook.times import rfc3339

WORKSPACE = "main"
POOL = "unattended"
"""No runner serves this pool, so nobody touches what is loaded."""
SOURCE = "benchmark"
BATCH = 1000
"""Most messages of an atomic batch."""
START = datetime(2026, 1, 1, tzinfo=UTC)
_RUN = "f" * 32  # stands for the run's id in a template
_TIME = rfc3339(START)
_SIGNALS = 987_654_321  # stands for the verdict's signal sequence


def run_id(number: int) -> str:
    """Ids that sort like their numbers, as UUIDv7 do."""
    return f"0198{number:012x}7000800000000000"[:32]


Fact = tuple[str, str, bytes]
"""Subject, message id and payload."""
Message = tuple[str, bytes]
"""Subject and payload."""


class Template(msgspec.Struct, frozen=True):
    """The facts of one life of a run: subject and text of each."""

    facts: list[tuple[str, str]]


async def template(end: str, *, workload: str = "bench", workspace: str = WORKSPACE) -> Template:
    """A run that ended as ``completed``, ``failed`` or ``cancelled``, or is still ``queued`` or ``running``."""
    log = MemoryEventLog()
    handler = Handler(log, FixedClock(START), CountingIds())
    aggregate = AggregateId(workspace, "run", _RUN)
    meta = Metadata(source=SOURCE, actor="benchmark")
    spec = RunSpec(workload=workload, pool=POOL, params={"rounds": 3, "rate": 0.25}, labels={"made": "for measuring"})
    claim = Claim(ticket="t", runner="runner-1")
    commands: dict[str, list[Any]] = {
        "queued": [],
        "running": [claim],
        "completed": [claim, Complete(attempt=1, result={"score": 0.5}, signal_sequence=_SIGNALS)],
        "failed": [claim, Fail(attempt=1, error={"code": "broken", "detail": "It broke."}, signal_sequence=_SIGNALS)],
        "cancelled": [RequestCancel(reason="not needed")],
    }
    outcome = await handler.handle(aggregate, Create(spec=spec, ticket="t"), meta, fresh("run"))
    facts = list(outcome.facts)
    for command in commands[end]:
        facts += (await handler.handle(aggregate, command, meta)).facts
    lines = []
    for (_, record), fact in zip(log.records, facts, strict=True):
        subject = subjects.fact(aggregate, record.event.type, route_of(fact))
        text = encode(record.event).decode().replace(f'"id":"{record.event.id}"', '"id":"<event>"', 1)
        lines.append((subject, text))
    return Template(lines)


def facts_of_runs(lives: Callable[[int], Template], runs: Iterable[int], signals: int = 0) -> Iterator[Fact]:
    """The facts of one run after the other, one second between two runs."""
    for number in runs:
        run, moment = run_id(number), rfc3339(START + timedelta(seconds=number))
        for index, (subject, text) in enumerate(lives(number).facts):
            event = f"{number:024x}{index:08x}"
            filled = text.replace("<event>", event).replace(_RUN, run).replace(_TIME, moment)
            yield subject.replace(_RUN, run), event, filled.replace(str(_SIGNALS), str(signals)).encode()


def load_facts(url: str, facts: Iterable[Fact]) -> int:
    """Store facts in atomic batches. Returns the last sequence. Blocking."""
    with Wire(url, "_INBOX.benchmark.facts") as wire:
        batch: list[Fact] = []
        number = 0
        for fact in facts:
            batch.append(fact)
            if len(batch) == BATCH:
                _store_batch(wire, batch, number := number + 1)
                batch.clear()
        if batch:
            _store_batch(wire, batch, number + 1)
        return wire.settle()


def _store_batch(wire: Wire, batch: list[Fact], number: int) -> None:
    for index, (subject, id_, payload) in enumerate(batch, 1):
        head = f"NATS/1.0\r\nNats-Msg-Id: {id_}\r\n"
        if len(batch) > 1:
            head += f"Nats-Batch-Id: benchmark-{number}\r\nNats-Batch-Sequence: {index}\r\n"
        if index < len(batch):
            wire.publish(subject, payload, f"{head}\r\n".encode())
        else:
            commit = "Nats-Batch-Commit: 1\r\n" if len(batch) > 1 else ""
            wire.store(subject, payload, f"{head}{commit}\r\n".encode(), window=3)


def signal(run: str, kind: SignalKind, data: Any, number: int) -> Message:
    """One message of signals."""
    event = Event(
        specversion="1.0", id=f"{number:032x}", source=SOURCE, type=f"run.{kind}.v1", subject=f"{WORKSPACE}/run/{run}",
        time=_TIME, data=msgspec.Raw(encode(data)),
    )  # fmt: skip
    return subjects.signal(WORKSPACE, run, kind), encode(event)


def log_chunks(runs: int, lines: int, chunk: int = 500, together: int = 10) -> Iterator[Message]:
    """``lines`` log lines of each run in chunks; ``together`` runs at a time are interleaved, as if run in parallel."""
    first = int(START.timestamp() * 1_000_000)
    number = 0
    for group in range(0, runs, together):
        for start in range(0, lines, chunk):
            for run in range(group, min(group + together, runs)):
                time = first + (group * lines + start) * 1000
                count = min(chunk, lines - start)
                yield signal(run_id(run), "log", Logs(1, [_line(time, start + i) for i in range(count)]), number)
                number += 1


def _line(time: int, index: int) -> Log:
    level = "warning" if index % 50 == 0 else "info"
    return Log(time + index * 1000, level, f"round {index} finished with score {index % 997 / 997:.4f}", "trainer")


def metric_chunks(runs: int, points: int, names: tuple[str, ...], chunk: int = 500) -> Iterator[Message]:
    """``points`` measurements of each run in all, taking turns between ``names``."""
    first = int(START.timestamp() * 1_000_000)
    number = 0
    for run in range(runs):
        for start in range(0, points, chunk):
            indices = range(start, min(start + chunk, points))
            records = [
                Metric(first + i * 1000, names[i % len(names)], (i * 31 + run) % 1000 / 1000, i // len(names))
                for i in indices
            ]
            yield signal(run_id(run), "metric", Metrics(1, records), number)
            number += 1


def load_signals(url: str, messages: Iterable[Message]) -> int:
    """Store signals. Returns the last sequence. Blocking."""
    with Wire(url, "_INBOX.benchmark.signals") as wire:
        for subject, payload in messages:
            wire.store(subject, payload)
        return wire.settle()

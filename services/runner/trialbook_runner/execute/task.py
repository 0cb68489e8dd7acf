"""An attempt as a task of the runner's own event loop: for trusted asyncio workloads that mostly wait (sweeps)."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from trialbook.clock import SystemClock
from trialbook.ids import UUIDv7Source
from trialbook.signals import FLUSH_S
from trialbook.subjects import SignalKind
from trialbook.workload import Cancelled, Paused, Workload
from trialbook_runner.context import Flags, RunContext
from trialbook_runner.emit import SignalStream
from trialbook_runner.execute import wire
from trialbook_runner.execute.ending import Control
from trialbook_runner.execute.failures import Stale, failed, verdict_of
from trialbook_runner.execute.shelf import Shelf
from trialbook_runner.execute.wire import Job, Notice, Verdict
from trialbook_runner.operations import Operations
from trialbook_runner.records import Recorder

MAX_WAITING_RECORDS = 50_000
CANCEL_S = 0.8
"""How long a cancelled task may clean up before it is abandoned."""


class TaskExecution:
    """One execution; ``guard`` as in ``ProcessExecution``."""

    def __init__(
        self, operations: Operations, signals: SignalStream, control: Control, guard: Callable[[], Awaitable[None]]
    ) -> None:
        self._operations, self._signals, self._control, self._guard = operations, signals, control, guard
        # bounded: by the recorder, whose records it gets
        self._chunks: deque[tuple[SignalKind, bytes]] = deque()
        self._dirty = asyncio.Event()
        loop = asyncio.get_running_loop()

        def wake() -> None:
            loop.call_soon_threadsafe(self._dirty.set)

        self._recorder = Recorder(self._collect, wake, bound=MAX_WAITING_RECORDS)

    async def run(self, workload: Workload, job: Job, timeout_s: float | None) -> Verdict:
        """Execute the job. Raises ``Stale``; the task has ended when this returns."""
        flags = Flags(job.pause)
        context = RunContext(job, self._operations, self._recorder, flags, SystemClock(), UUIDv7Source(), Shelf())
        flusher = asyncio.create_task(self._flush_for_ever())
        work = asyncio.create_task(workload.run(context, workload.parse(job.params)))
        self._control.listen(lambda notice: _notice(flags, work, notice))
        try:
            done, _ = await asyncio.wait({work, flusher}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                await _end(work)
                return failed(
                    "timeout", f"The attempt exceeded its time limit of {timeout_s:g} s.", timeout_s=timeout_s
                )
            if work not in done:
                flusher.result()
            verdict = _verdict(work)
            await self._flush()
            # The wall is none because it shares the runner's own process.
            return msgspec.structs.replace(verdict, wall="none", effects=context.unsaid())
        finally:
            flusher.cancel()
            await asyncio.shield(_end(work))
            await asyncio.gather(flusher, return_exceptions=True)

    def _collect(self, kind: SignalKind, _count: int, records: bytes) -> None:
        self._chunks.append((kind, records))

    async def _flush_for_ever(self) -> None:
        """At once after a quiet moment, else when the interval since the last flush is over."""
        loop = asyncio.get_running_loop()
        last = 0.0
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            await asyncio.sleep(max(0.0, last + FLUSH_S - loop.time()))
            last = loop.time()
            await self._flush()

    async def _flush(self) -> None:
        self._recorder.flush()
        while self._chunks:
            await self._guard()
            await self._signals.put(*self._chunks.popleft())


def _notice(flags: Flags, work: asyncio.Task[Any], notice: Notice) -> None:
    if notice == "cancel":
        flags.cancel = True
        work.cancel()
    else:
        flags.pause = notice == "pause"


async def _end(work: asyncio.Task[Any]) -> None:
    if not work.done():
        work.cancel()
        await asyncio.wait({work}, timeout=CANCEL_S)


def _verdict(work: asyncio.Task[Any]) -> Verdict:
    try:
        return Verdict(status="completed", result=msgspec.Raw(wire.encode(work.result())))
    except (Cancelled, asyncio.CancelledError):
        return Verdict(status="cancelled")
    except Paused:
        return Verdict(status="paused")
    except Stale:
        raise
    except Exception as error:  # noqa: BLE001 -- whatever left the workload is its verdict
        return verdict_of(error)

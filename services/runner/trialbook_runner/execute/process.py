"""An attempt in a process of its own. The runner owns its wall clock and ends the whole process group."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from typing import Any

from trialbook.errors import Refusal
from trialbook_runner.emit import SignalStream
from trialbook_runner.execute import wire
from trialbook_runner.execute.ending import Control, refusal_members
from trialbook_runner.execute.failures import crashed, failed
from trialbook_runner.execute.spawner import Child, Spawner
from trialbook_runner.execute.wire import Job, Notice, Verdict
from trialbook_runner.operations import Operations

CANCEL_NOTICE_S = 0.25
"""How long a workload may react to a cancellation by itself before SIGTERM."""
EXIT_S = 2.0
"""How long a process may take to end after its verdict."""
MAX_REQUESTS = 64


class ProcessExecution:
    """One execution; ``guard`` is awaited before signals are published and raises ``Stale`` when the lease is lost."""

    def __init__(
        self,
        spawner: Spawner,
        operations: Operations,
        signals: SignalStream,
        control: Control,
        guard: Callable[[], Awaitable[None]],
        grace_s: float,
    ) -> None:
        self._spawner, self._operations, self._signals = spawner, operations, signals
        self._control, self._guard, self._grace_s = control, guard, grace_s
        self._requests = asyncio.Semaphore(MAX_REQUESTS)
        self._tasks: set[asyncio.Task[None]] = set()
        self._fatal: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._verdict: Verdict | None = None
        self._timed_out = False

    async def run(self, job: Job, timeout_s: float | None, warm: str = "") -> Verdict:
        """Execute the job. Raises ``Stale``; the process group is gone when this returns, however it returns."""
        process = await self._spawner.spawn(warm)
        child, reader, writer = process.child, process.reader, process.writer
        try:
            writer.write(wire.frame(wire.JOB, wire.encode(job)))
            self._control.listen(lambda notice: self._notice(child, writer, notice))
            if timeout_s is not None:
                self._start(self._time_out(child, timeout_s))
            reading = self._start(self._read(child, reader, writer))
            done = {reading, self._fatal}
            await asyncio.wait(done, return_when=asyncio.FIRST_COMPLETED)
            if self._fatal.done():
                self._fatal.result()
            await reading
            await asyncio.wait({child.exited})  # a plain await would cancel the future along with this task
            return self._judge(child.exited.result(), timeout_s)
        finally:
            await asyncio.shield(self._clean(child, writer))

    def _judge(self, status: int, timeout_s: float | None) -> Verdict:
        given = self._verdict
        if given is not None and given.status == "completed":
            return given
        if self._timed_out:
            return failed("timeout", f"The attempt exceeded its time limit of {timeout_s:g} s.", timeout_s=timeout_s)
        if self._control.cancel:
            return given if given is not None and given.status == "failed" else Verdict(status="cancelled")
        if given is None:
            return crashed(status)
        if given.status == "cancelled":
            return failed("process_crashed", "The process was ended by SIGTERM from outside.", signal="SIGTERM")
        return given

    async def _read(self, child: Child, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Frames until the end of the stream, which the process's end brings about."""
        child.exited.add_done_callback(lambda _: self._start(self._end_reading(reader)))
        while True:
            try:
                length, kind = wire.HEADER.unpack(await reader.readexactly(wire.HEADER.size))
                payload = await reader.readexactly(length)
            except (asyncio.IncompleteReadError, ConnectionResetError):
                return
            if kind == wire.RECORDS:
                await self._guard()
                await self._signals.put(wire.KINDS[payload[0]], payload[1:])
            elif kind == wire.REQUEST:
                await self._requests.acquire()
                self._start(self._serve(wire.decode_request(payload), writer))
            else:
                self._verdict = wire.decode_verdict(payload)
                self._start(self._kill_after(child, EXIT_S, signal.SIGKILL))

    async def _end_reading(self, reader: asyncio.StreamReader) -> None:
        """A stray descendant may hold the socket open for a moment after the process has ended."""
        await asyncio.sleep(EXIT_S)
        reader.feed_eof()

    async def _serve(self, request: wire.Request, writer: asyncio.StreamWriter) -> None:
        try:
            reply = wire.Reply(id=request.id, value=await self._operations.request(request.op))
        except Refusal as error:
            reply = wire.Reply(id=request.id, error=refusal_members(error))
        finally:
            self._requests.release()
        writer.write(wire.frame(wire.REPLY, wire.encode(reply)))

    def _notice(self, child: Child, writer: asyncio.StreamWriter, notice: Notice) -> None:
        if not writer.is_closing():
            writer.write(wire.frame(wire.NOTICE, notice.encode()))
        if notice == "cancel":
            self._start(self._kill_after(child, CANCEL_NOTICE_S, signal.SIGTERM))
            self._start(self._kill_after(child, CANCEL_NOTICE_S + self._grace_s, signal.SIGKILL))

    async def _time_out(self, child: Child, timeout_s: float) -> None:
        await asyncio.sleep(timeout_s)
        self._timed_out = True
        await self._spawner.kill(child, signal.SIGTERM)
        await self._kill_after(child, self._grace_s, signal.SIGKILL)

    async def _kill_after(self, child: Child, delay_s: float, number: signal.Signals) -> None:
        await asyncio.sleep(delay_s)
        await self._spawner.kill(child, number)

    def _start(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or self._fatal.done():
            return
        error = task.exception()
        if error is not None:
            self._fatal.set_exception(error)

    async def _clean(self, child: Child, writer: asyncio.StreamWriter) -> None:
        await self._spawner.kill(child, signal.SIGKILL)
        await child.exited
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._fatal.done() and not self._fatal.cancelled():
            self._fatal.exception()  # it was raised by ``run``, or came after the end
        writer.close()

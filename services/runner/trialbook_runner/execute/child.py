"""The main function of an attempt's own process, called in a fresh fork of the fork server."""

from __future__ import annotations

import asyncio
import faulthandler
import io
import itertools
import os
import random
import signal
import socket
import sys
import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future
from typing import Any

import msgspec

from trialbook.clock import SystemClock
from trialbook.errors import refusal
from trialbook.ids import UUIDv7Source
from trialbook.signals import FLUSH_S
from trialbook.subjects import SignalKind
from trialbook.workload import Cancelled, Paused, Workload
from trialbook_runner.context import BlockingContext, Flags, Flusher, RunContext
from trialbook_runner.execute import wire
from trialbook_runner.execute.environment import forget_the_runners
from trialbook_runner.execute.failures import failed, verdict_of
from trialbook_runner.execute.offline import go_offline
from trialbook_runner.execute.shelf import Shelf
from trialbook_runner.records import Recorder

KIND_INDEX = {kind: bytes([number]) for number, kind in enumerate(wire.KINDS)}


class Interrupts:
    """SIGTERM raises ``Cancelled`` in the main thread, but never in the middle of a frame or of a flush."""

    def __init__(self) -> None:
        self._depth = 0
        self._pending = False

    def on_signal(self, *_: Any) -> None:
        """The signal handler; runs in the main thread."""
        if self._depth:
            self._pending = True
        else:
            raise Cancelled

    def lock(self) -> DeferringLock:
        """A lock that puts the interruption off while the main thread holds it."""
        return DeferringLock(self)

    def defer(self) -> None:
        """From here on in the main thread interruptions wait."""
        self._depth += 1

    def allow(self) -> None:
        """The end of ``defer``; raises ``Cancelled`` when an interruption waited."""
        self._depth -= 1
        if self._pending and not self._depth:
            self._pending = False
            raise Cancelled


class DeferringLock:
    """See ``Interrupts.lock``."""

    def __init__(self, interrupts: Interrupts) -> None:
        self._interrupts, self._lock = interrupts, threading.Lock()

    def __enter__(self) -> None:
        if threading.current_thread() is threading.main_thread():
            self._interrupts.defer()
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()
        if threading.current_thread() is threading.main_thread():
            self._interrupts.allow()


class _Wait:
    """Awaits a future of the reader thread: on an event loop when there is one, else by handing it to ``drive``."""

    def __init__(self, future: Future[Any]) -> None:
        self._future = future

    def __await__(self) -> Generator[Any, Any, Any]:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return (yield self._future)
        return (yield from asyncio.wrap_future(self._future).__await__())


class ChildChannel:
    """Frames to the runner over the socket; replies and notices are read by a thread of its own."""

    def __init__(self, sock: socket.socket, flags: Flags, interrupts: Interrupts) -> None:
        self._sock, self._flags = sock, flags
        self._writing = interrupts.lock()
        self._numbers = itertools.count(1)
        self._open: dict[int, tuple[Future[Any], type[Any] | None]] = {}
        self.on_cancel: Callable[[], None] = lambda: None

    def send(self, kind: int, payload: bytes) -> None:
        """Write one frame; blocks while the runner is busy."""
        data = wire.frame(kind, payload)
        with self._writing:
            self._sock.sendall(data)

    def records(self, kind: SignalKind, _count: int, records: bytes) -> None:
        """Send an encoded chunk."""
        self.send(wire.RECORDS, KIND_INDEX[kind] + records)

    async def request(self, op: wire.AnyOp) -> Any:
        """See ``Channel.request``."""
        number, future = next(self._numbers), Future[Any]()
        self._open[number] = (future, wire.StepReply if isinstance(op, wire.BeginStep) else None)
        self.send(wire.REQUEST, wire.encode(wire.Request(number, op)))
        return await _Wait(future)

    def read_for_ever(self) -> None:
        """The reader thread. When the runner is gone, this process and everything it started ends at once."""
        try:
            while (received := wire.receive(self._sock)) is not None:
                self._handle(*received)
        finally:
            os.killpg(0, signal.SIGKILL)

    def _handle(self, kind: int, payload: bytes) -> None:
        if kind == wire.NOTICE:
            self._notice(payload.decode())
            return
        reply = wire.decode_reply(payload)
        future, type_ = self._open.pop(reply.id)
        if not future.set_running_or_notify_cancel():
            return  # who asked was cancelled meanwhile; what was asked for has happened all the same
        if reply.error is not None:
            future.set_exception(refusal(**reply.error))
        else:
            future.set_result(msgspec.convert(reply.value, type_) if type_ else reply.value)

    def _notice(self, notice: str) -> None:
        if notice == "cancel":
            self._flags.cancel = True
            self.on_cancel()
        else:
            self._flags.pause = notice == "pause"


class _Lines(io.TextIOBase):
    """Standard output of a workload, line by line into its log."""

    def __init__(self, context: RunContext, name: str) -> None:
        self._context, self._name, self._rest = context, name, ""

    def writable(self) -> bool:
        return True

    def write(self, text: str, /) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._context.log(line, logger=self._name)
        return len(text)

    def finish(self) -> None:
        """Emit a last line without its end."""
        if self._rest:
            self._context.log(self._rest, logger=self._name)


def child_main(workloads: dict[str, Workload], sock: socket.socket, shelf: Shelf) -> None:
    """Execute the job that comes over the socket, now or later, and send its verdict."""
    _prepare()
    received = wire.receive(sock)
    if received is None:
        return
    job = wire.decode_job(received[1])
    offline = go_offline() if job.source.mode == "replay" else None
    flags = Flags(job.pause)
    interrupts = Interrupts()
    channel = ChildChannel(sock, flags, interrupts)
    threading.Thread(target=channel.read_for_ever, name="trialbook-reader", daemon=True).start()
    flusher = Flusher(FLUSH_S, SystemClock())
    recorder = flusher.recorder = Recorder(channel.records, flusher.wake, interrupts.lock())
    context = RunContext(job, channel, recorder, flags, SystemClock(), UUIDv7Source(), shelf)
    os.chdir(job.workdir)
    random.seed(job.seed)
    out, err = _Lines(context, "stdout"), _Lines(context, "stderr")
    sys.stdout, sys.stderr = out, err
    signal.signal(signal.SIGTERM, interrupts.on_signal)
    verdict = _execute(workloads[job.workload], context, channel, job)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    verdict = msgspec.structs.replace(verdict, effects=context.unsaid())
    for stream in (out, err):
        stream.finish()
    recorder.flush()
    if offline is not None:
        verdict = msgspec.structs.replace(verdict, wall=offline.wall, refused=[*offline.refused])
    channel.send(wire.VERDICT, _encoded(verdict))


def _prepare() -> None:
    """No input, no rights of the runner in the environment, errors of C code on the runner's own standard error."""
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(2, 1)
    faulthandler.enable(file=2)
    forget_the_runners(os.environ)


def _execute(work: Workload, context: RunContext, channel: ChildChannel, job: wire.Job) -> wire.Verdict:
    try:
        params = work.parse(job.params)
        if work.is_async:
            value = asyncio.run(_async(work, context, channel, params))
        else:
            value = work.run(BlockingContext(context), params)
        return wire.Verdict(status="completed", result=msgspec.Raw(wire.encode(value)))
    except (Cancelled, asyncio.CancelledError):
        return wire.Verdict(status="cancelled")
    except Paused:
        return wire.Verdict(status="paused")
    except BaseException as error:  # noqa: BLE001 -- whatever left the workload is its verdict
        return verdict_of(error)


async def _async(work: Workload, context: RunContext, channel: ChildChannel, params: Any) -> Any:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None, "inside a coroutine there is a task"

    def cancel() -> None:
        loop.call_soon_threadsafe(task.cancel)

    channel.on_cancel = cancel
    if context.cancelled:
        raise Cancelled
    return await work.run(context, params)


def _encoded(verdict: wire.Verdict) -> bytes:
    payload = wire.encode(verdict)
    if len(payload) > wire.MAX_FRAME:
        return wire.encode(failed("result_too_large", "The result exceeds 64 MiB; store it as an artifact."))
    return payload

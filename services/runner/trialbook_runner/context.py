"""What a running workload holds: the ``Context`` of ``trialbook.workload`` over a channel to the runner."""

from __future__ import annotations

import asyncio
import inspect
import math
import mimetypes
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from contextvars import ContextVar
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any, Protocol, TypeVar

import msgspec

from trialbook.clock import Clock
from trialbook.errors import Invalid
from trialbook.ids import IdSource
from trialbook.signals import LEVELS, Log, Metric, Progress, Row
from trialbook.workload import Cancelled, EffectRecord, EffectSource, Failure, Paused, request_digest
from trialbook_runner.execute.failures import verdict_of
from trialbook_runner.execute.shelf import Shelf, made
from trialbook_runner.execute.wire import (
    AnyOp,
    BeginStep,
    CancelChild,
    EffectOp,
    EndStep,
    FetchBlob,
    FindEffect,
    Job,
    RunChild,
    SaveArtifact,
    SaveCheckpoint,
    SaveEffect,
    StepReply,
    encode,
)
from trialbook_runner.records import Recorder, bounded_text, checked_data
from trialbook_runner.sandbox import Sandbox

T = TypeVar("T")
MAX_NAME = 255
MAX_UNSAID = 64
"""Effects that wait for the verdict."""
_LEVELS = frozenset(LEVELS)
_STEP: ContextVar[str | None] = ContextVar("trialbook_step", default=None)


class Channel(Protocol):
    """The way to the runner."""

    async def request(self, op: AnyOp) -> Any:
        """Carry out an operation. Raises a ``Refusal``."""
        ...


class Flags:
    """What was asked of the attempt from outside."""

    def __init__(self, pause: bool = False) -> None:
        self.cancel = False
        self.pause = pause


class RunContext:
    """The asynchronous context; see ``trialbook.workload.Context``. Emitting methods may be called from any thread."""

    def __init__(
        self, job: Job, channel: Channel, recorder: Recorder, flags: Flags, clock: Clock, ids: IdSource, shelf: Shelf
    ) -> None:
        self.run, self.workspace, self.attempt, self.seed = job.run, job.workspace, job.attempt, job.seed
        self.workdir = Path(job.workdir)
        self.inputs = {name: Path(path) for name, path in job.inputs.items()}
        self.checkpoint_data = job.checkpoint
        self.sandbox = Sandbox(walls=job.walls)
        """Runs programs that nobody vouches for."""
        self.random = Random(job.seed)  # noqa: S311 -- reproducible on purpose
        self._source, self._recorded = job.source, job.recorded
        self._shelf, self._digests, self._shares = shelf, job.digests, job.shares
        self._own_effects: set[str] = set()
        self._unsaid: deque[SaveEffect] = deque()  # bounded: past ``MAX_UNSAID`` effects are recorded at once
        self._scratch = Path(job.scratch)
        self._channel, self._recorder, self._flags, self._clock, self._ids = channel, recorder, flags, clock, ids
        self._now_us = clock.unix_us
        self._add_log = recorder.log

    def shared(self, name: str) -> Any:
        """What the workload's function makes of an input; made here when the fork server does not have it."""
        function = self._shares[name]
        value = self._shelf.get(function, self._digests[name])
        return made(function, self.inputs[name].read_bytes()) if value is None else value

    def now(self) -> datetime:
        """Current UTC time."""
        return self._clock.now()

    def new_id(self) -> str:
        """A fresh id."""
        return self._ids.new()

    def log(self, message: str | None, *, level: str = "info", logger: str | None = None, data: Any = None) -> None:
        """Emit one log line. Raises ``Invalid`` for an unknown level or data that is too large."""
        if level not in _LEVELS:
            raise Invalid("invalid_level", f"{level!r} is no log level; use one of {', '.join(LEVELS)}.")
        if message is not None and len(message) > 65_536:
            message = bounded_text(message)
        encoded = None if data is None else checked_data(data)
        self._add_log(Log(self._now_us(), level, message, logger, _STEP.get(), encoded))

    def metric(self, name: str, value: float, *, index: int = 0, unit: str = "") -> None:
        """Emit one measurement; NaN and infinities are stored as null."""
        number = float(value)
        stored = number if math.isfinite(number) else None
        self._recorder.metric(Metric(self._now_us(), name, stored, index, unit, _STEP.get()))

    def progress(self, done: float, total: float = 0.0, *, unit: str = "", message: str = "") -> None:
        """Say how far the run is."""
        self._recorder.progress(Progress(self._now_us(), done, total, unit, bounded_text(message), _STEP.get()))

    def row(self, kind: str, index: int, data: Any, *, row_id: str = "") -> None:
        """Emit one row of the table ``kind``."""
        self._recorder.row(Row(self._now_us(), kind, index, checked_data(data), row_id))

    @property
    def cancelled(self) -> bool:
        """Whether cancellation was requested."""
        return self._flags.cancel

    def check(self) -> None:
        """Raise ``Cancelled`` when the run was cancelled."""
        if self._flags.cancel:
            raise Cancelled

    @property
    def pausing(self) -> bool:
        """Whether the run is to pause at its next checkpoint."""
        return self._flags.pause

    async def checkpoint(self, data: Any) -> None:
        """Store the state to resume from; raises ``Paused`` when the run is to pause, ``Cancelled`` when cancelled."""
        self.check()
        await self._request(SaveCheckpoint(data=data))
        self.check()
        if self._flags.pause:
            raise Paused

    async def step(self, name: str, work: Callable[[], Awaitable[Any]], *, needs: tuple[str, ...] = ()) -> Any:
        """Execute a named step once per run; its result is JSON-able and the same now and after a resume."""
        self.check()
        before: StepReply = await self._request(BeginStep(step=_name(name), needs=list(needs)))
        if before.completed:
            return before.result
        token = _STEP.set(name)
        try:
            value = work()
            if inspect.isawaitable(value):
                value = await value
            result = msgspec.to_builtins(value)
        except (Cancelled, Paused):
            raise
        except Exception as error:
            await self._request(EndStep(step=name, error=verdict_of(error).error))
            raise
        finally:
            _STEP.reset(token)
        await self._request(EndStep(step=name, result=result))
        return result

    async def effect(
        self,
        key: str,
        request: Any,
        call: Callable[[], Awaitable[Any]],
        *,
        info: dict[str, Any] | None = None,
        durable: bool = True,
    ) -> Any:
        """A call that is made once per run; its response is JSON-able and the same now and after a resume."""
        self.check()
        digest, known = request_digest(request), await self.find_effect(key)
        if known is not None and known.request_digest == digest:
            return known.response
        if (await self.effect_source()).mode == "replay":
            why = "no such call was recorded" if known is None else "the request is another one than was recorded"
            raise Failure(
                "replay_diverged", f"The replay differs at call {key}: {why}", retryable=False, key=key, difference=why
            )
        value = call()
        if inspect.isawaitable(value):
            value = await value
        record = EffectRecord(request_digest=digest, response=msgspec.to_builtins(value), info=info or {})
        if durable or len(self._unsaid) >= MAX_UNSAID:
            await self.record_effect(key, record)
        else:
            self._unsaid.append(self._effect(key, record))
        return record.response

    def unsaid(self) -> list[SaveEffect]:
        """Effects that the verdict has to say; asked for when the workload has ended."""
        return list(self._unsaid)

    async def effect_source(self) -> EffectSource:
        """Whose effects this attempt takes, and how."""
        return self._source

    async def find_effect(self, key: str) -> EffectRecord | None:
        """What was last recorded under ``key``."""
        if not self._recorded and key not in self._own_effects:
            return None
        return msgspec.convert(await self._ask(FindEffect(key=_name(key))), EffectRecord | None)

    async def record_effect(self, key: str, record: EffectRecord) -> None:
        """Make a call a fact."""
        await self._ask(self._effect(key, record))

    def _effect(self, key: str, record: EffectRecord) -> SaveEffect:
        self._own_effects.add(key)
        response = msgspec.Raw(encode(record.response))
        return SaveEffect(key=_name(key), request_digest=record.request_digest, response=response, info=record.info)

    async def _request(self, op: AnyOp) -> Any:
        """Ask the runner, after what was recorded before."""
        while self._unsaid:
            await self._channel.request(self._unsaid.popleft())
        return await self._channel.request(op)

    async def _ask(self, op: EffectOp) -> Any:
        """The reply; one that is under way is waited for before a cancellation goes on, so that no record is lost."""
        request = self._request(op)
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return await request
        reply = asyncio.ensure_future(request)
        try:
            return await asyncio.shield(reply)
        except asyncio.CancelledError:
            await asyncio.wait({reply})
            raise

    async def artifact(self, name: str, content: Path | bytes, *, media_type: str = "") -> str:
        """Store bytes as an artifact; returns the sha256."""
        kind = media_type or mimetypes.guess_type(name)[0] or "application/octet-stream"
        if isinstance(content, bytes):
            path = self._scratch / f"{self._ids.new()}.artifact"
            path.write_bytes(content)
        else:
            path = content if content.is_absolute() else self.workdir / content
        try:
            sha256: str = await self._request(SaveArtifact(name=_name(name), path=str(path), media_type=kind))
        finally:
            if isinstance(content, bytes):
                path.unlink()
        return sha256

    async def child(self, workload: str, params: dict[str, Any], *, key: str, title: str = "") -> dict[str, Any]:
        """Submit a child run once per ``key``, wait for its end and return its view."""
        self.check()
        view: dict[str, Any] = await self._request(
            RunChild(workload=workload, params=params, key=_name(key), title=title)
        )
        return view

    async def cancel_child(self, key: str) -> None:
        """Cancel a child run that this run submitted; no effect when it has ended."""
        await self._request(CancelChild(key=key))

    async def fetch(self, sha256: str, path: Path) -> None:
        """Write stored bytes, such as an artifact of an earlier attempt, to a file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        await self._request(FetchBlob(sha256=sha256, path=str(path)))


class BlockingContext:
    """The same context for a sync workload: what is awaited elsewhere blocks here until it is done."""

    def __init__(self, inner: RunContext) -> None:
        self._inner = inner
        self.log, self.metric, self.progress, self.row = inner.log, inner.metric, inner.progress, inner.row

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def checkpoint(self, data: Any) -> None:
        """See ``Context.checkpoint``."""
        drive(self._inner.checkpoint(data))

    def step(self, name: str, work: Callable[[], Any], *, needs: tuple[str, ...] = ()) -> Any:
        """See ``Context.step``; ``work`` is a plain function."""
        return drive(self._inner.step(name, work, needs=needs))

    def effect(
        self,
        key: str,
        request: Any,
        call: Callable[[], Any],
        *,
        info: dict[str, Any] | None = None,
        durable: bool = True,
    ) -> Any:
        """See ``Context.effect``; ``call`` is a plain function."""
        return drive(self._inner.effect(key, request, call, info=info, durable=durable))

    def effect_source(self) -> EffectSource:
        """See ``Context.effect_source``."""
        return drive(self._inner.effect_source())

    def find_effect(self, key: str) -> EffectRecord | None:
        """See ``Context.find_effect``."""
        return drive(self._inner.find_effect(key))

    def record_effect(self, key: str, record: EffectRecord) -> None:
        """See ``Context.record_effect``."""
        drive(self._inner.record_effect(key, record))

    def artifact(self, name: str, content: Path | bytes, *, media_type: str = "") -> str:
        """See ``Context.artifact``."""
        return drive(self._inner.artifact(name, content, media_type=media_type))

    def child(self, workload: str, params: dict[str, Any], *, key: str, title: str = "") -> dict[str, Any]:
        """See ``Context.child``."""
        return drive(self._inner.child(workload, params, key=key, title=title))


def drive(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that awaits nothing but replies of the runner, blocking this thread for each of them."""
    try:
        waiting = work.send(None)
        while True:
            if not isinstance(waiting, Future):
                work.close()
                raise TypeError("a sync workload cannot await; make the workload function async")
            try:
                value = waiting.result()
            except Exception as error:  # noqa: BLE001 -- handed into the coroutine
                waiting = work.throw(error)
            else:
                waiting = work.send(value)
    except StopIteration as stop:
        result: T = stop.value
        return result


class Flusher(threading.Thread):
    """Flushes a recorder: at once after a quiet moment, else when the interval since the last flush is over.

    It starts by itself with the first record.
    """

    def __init__(self, interval_s: float, clock: Clock) -> None:
        super().__init__(name="trialbook-flush", daemon=True)
        self._interval_s, self._clock = interval_s, clock
        self._wake = threading.Event()
        self._stop_now = threading.Event()
        self._starting = threading.Lock()
        self.recorder: Recorder | None = None

    def wake(self) -> None:
        """There is something to flush."""
        self._wake.set()
        if self.ident is None:
            with self._starting:
                if self.ident is None:
                    self.start()

    def run(self) -> None:
        """Until the process ends."""
        last = 0.0
        while True:
            self._wake.wait()
            self._wake.clear()
            left = last + self._interval_s - self._clock.monotonic()
            if left > 0:
                self._stop_now.wait(left)
            last = self._clock.monotonic()
            if self.recorder is not None:
                self.recorder.flush()


def _name(name: str) -> str:
    if not 0 < len(name) <= MAX_NAME or not name.isprintable():
        raise Invalid("invalid_name", f"{name[:80]!r} is no valid name: 1 to {MAX_NAME} printable characters.")
    return name

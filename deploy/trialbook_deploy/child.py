"""One supervised program: started, its output passed on, started again when it ends."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from trialbook_deploy import guard
from trialbook_deploy.processes import kill_strays, send_group

if TYPE_CHECKING:
    from trialbook_deploy.supervise import Supervisor

LINE_BYTES = 65_536
RECENT_LINES = 20
SETTLED_SECONDS = 1.0
STRAY_PASSES = 200  # of 10 ms: what cannot be killed in that time (a hung disk) must not hold up the others


def _every_line(_line: str) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """A program to keep running."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]  # the whole environment
    stage: int = 0  # at the end lower stages are stopped first
    show: Callable[[str], bool] = field(default=_every_line)  # which lines of its output are passed on


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before starting again what ended: doubling, and forgotten after a steady time."""

    first_seconds: float = 0.1
    limit_seconds: float = 10.0
    steady_seconds: float = 10.0

    def delay_seconds(self, failures: int) -> float:
        """The wait after `failures` (at least 1) ends in a row."""
        return min(self.first_seconds * 2.0 ** min(failures - 1, 30), self.limit_seconds)


class Child:
    """The life of one program under a supervisor."""

    def __init__(self, spec: ChildSpec, supervisor: Supervisor) -> None:
        self.spec = spec
        self.pid: int | None = None
        self.failures = 0  # ends in a row without a steady time between
        self.last_code: int | None = None
        self._started = 0.0
        self.recent: deque[str] = deque(maxlen=RECENT_LINES)
        self._supervisor = supervisor
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Start the program, again and again, until `stop`."""
        loop = asyncio.get_running_loop()
        while not self._stopping.is_set():
            code = await self._once()
            if self._stopping.is_set():
                return
            backoff = self._supervisor.backoff
            steady = loop.time() - self._started >= backoff.steady_seconds
            self.failures = 1 if steady else self.failures + 1
            self.last_code = code
            delay = backoff.delay_seconds(self.failures)
            self._supervisor.output.say(f"{self.spec.name} {describe(code)}; starting it again in {delay:.1f} s")
            await self._wait_stopping(delay)

    @property
    def settled(self) -> bool:
        """Whether the program runs, and has done so for a while if it failed before."""
        running_seconds = asyncio.get_running_loop().time() - self._started
        return self.pid is not None and (self.failures == 0 or running_seconds >= SETTLED_SECONDS)

    def stop(self, *, kill: bool = False) -> None:
        """Ask the program to end (a stopped one is continued for it), or kill it and its process group."""
        self._stopping.set()
        if self.pid is None:
            return
        send_group(self.pid, signal.SIGKILL if kill else signal.SIGTERM)
        send_group(self.pid, signal.SIGCONT)

    async def _wait_stopping(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return

    async def _once(self) -> int:
        read_end, write_end = os.pipe()
        try:
            process = await self._spawn(write_end)
        except BaseException:
            os.close(read_end)
            raise
        finally:
            os.close(write_end)
        if self._stopping.is_set():
            self.stop()
        reading = asyncio.create_task(self._pass_on(read_end))
        code = await process.wait()
        await self._clear(process.pid)
        await reading
        return code

    async def _spawn(self, output: int) -> asyncio.subprocess.Process:
        supervisor = self._supervisor
        async with supervisor.spawning:
            process = await asyncio.create_subprocess_exec(
                *guarded(self.spec.argv),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=dict(self.spec.env) | {"TRIALBOOK_LIFELINE_FD": str(supervisor.lifeline)},
                pass_fds=(supervisor.lifeline,),
                start_new_session=True,
            )
            self.pid = process.pid
            self._started = asyncio.get_running_loop().time()
        supervisor.changed()
        return process

    async def _clear(self, pid: int) -> None:
        """Leave nothing of a program that ended: its group, and the orphans it leaves to this process."""
        send_group(pid, signal.SIGKILL)
        self.pid = None
        async with self._supervisor.spawning:
            passes = STRAY_PASSES
            while kill_strays(self._supervisor.pids().values()) and passes:
                await asyncio.sleep(0.01)
                passes -= 1
        self._supervisor.changed()

    async def _pass_on(self, read_end: int) -> None:
        reader = asyncio.StreamReader(limit=LINE_BYTES)
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read_end, "rb", buffering=0)
        )
        rest = b""
        while chunk := await reader.read(LINE_BYTES):
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > LINE_BYTES:
                lines.append(rest)
                rest = b""
            for line in lines:
                self._line(line)
        if rest:
            self._line(rest)
        transport.close()

    def _line(self, raw: bytes) -> None:
        text = raw.decode(errors="replace").rstrip("\r")
        self.recent.append(text)
        if self.spec.show(text):
            self._supervisor.output.line(self.spec.name, text)


def guarded(argv: tuple[str, ...]) -> tuple[str, ...]:
    """The command line that runs `argv` so that it cannot outlive this process."""
    return (sys.executable, "-I", "-S", str(Path(guard.__file__)), str(os.getpid()), *argv)


def describe(code: int) -> str:
    """An exit code in words."""
    if code >= 0:
        return f"ended with exit code {code}"
    return f"was ended by {signal.Signals(-code).name}"

"""Running a program that nobody vouches for."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from msgspec.structs import replace

from trialbook_runner.sandbox import mounts, process
from trialbook_runner.sandbox.bwrap import gate_command
from trialbook_runner.sandbox.cgroup import Group
from trialbook_runner.sandbox.files import INPUTS, TooLarge, check_inputs
from trialbook_runner.sandbox.ground import Ground
from trialbook_runner.sandbox.identity import identity
from trialbook_runner.sandbox.mounts import BOX, System
from trialbook_runner.sandbox.output import Output
from trialbook_runner.sandbox.probe import probe
from trialbook_runner.sandbox.process import Started, StartError
from trialbook_runner.sandbox.start import Plan, start
from trialbook_runner.sandbox.types import (
    Cause,
    Limits,
    OnOutput,
    Places,
    SandboxUnavailable,
    Verdict,
    Wall,
    Walls,
)
from trialbook_runner.sandbox.watch import Watch

MAX_ENV_BYTES = 128 * 1024
MAX_ARGV_BYTES = 128 * 1024


class Sandbox:
    """Runs programs behind the best wall this machine has. Any number at a time."""

    def __init__(
        self, *, choice: str = "", cgroup_name: str = "", readonly: tuple[str, ...] = (), walls: Walls | None = None
    ) -> None:
        """``choice`` and ``cgroup_name`` are the settings TRIALBOOK_SANDBOX and TRIALBOOK_SANDBOX_CGROUP;
        ``readonly``: directories that programs see besides the system and the virtual environment; ``walls``: what
        an earlier look at this machine found.
        """
        self._choice, self._cgroup_name, self._readonly = choice, cgroup_name, readonly
        self._walls = walls

    def probe(self) -> Walls:
        """What can be had here; looked at once, which takes a few hundredths of a second."""
        if self._walls is None:
            self._walls = probe(self._choice, self._cgroup_name)
        return self._walls

    def wall(self) -> Wall:
        """The wall that programs run behind. Raises ``SandboxUnavailable`` with what to install or enable."""
        walls = self.probe()
        if walls.wall is None:
            raise SandboxUnavailable(walls.refusal)
        return walls.wall

    def places(self, workdir: Path, inputs: Mapping[str, Path]) -> Places:
        """Where a program will find its directory and its inputs; ``inputs/<name>`` below it under every wall."""
        inside = BOX if self.wall() == "bwrap" else str(workdir.resolve())
        return Places(workdir=inside, inputs={name: f"{inside}/{INPUTS}/{name}" for name in inputs})

    async def run(
        self,
        argv: list[str],
        *,
        workdir: Path,
        limits: Limits,
        on_output: OnOutput,
        inputs_readonly: Mapping[str, Path] | None = None,
        env: Mapping[str, str] | None = None,
        cancel: asyncio.Event | None = None,
    ) -> Verdict:
        """Run a program to its end and say how it ended; nothing of it is alive when this returns or raises.

        The content of ``workdir`` is its working directory, and what it leaves there is handed back (no links, no
        devices); ``inputs`` there shows the inputs and is not handed back. Raises ``SandboxUnavailable``,
        ``ValueError`` for names and arguments that cannot be passed on, and whatever ``on_output`` raises.
        """
        wall, inputs = self.wall(), dict(inputs_readonly or {})
        _check(argv, env or {})
        check_inputs(inputs)
        began = time.monotonic()
        with contextlib.ExitStack() as closing:
            uid = closing.enter_context(identity()) if wall != "none" else -1
            plan = self._plan(argv, workdir, limits, inputs, env or {}, uid)
            try:
                group = self._group(plan, closing)
                started, ground = await start(plan, closing)
            except (StartError, OSError) as error:
                return Verdict(cause="sandbox_error", wall=wall, detail=str(error), start_s=time.monotonic() - began)
            attempt = _Attempt(plan, started, ground, on_output, began)
            return await attempt.run(cancel or asyncio.Event(), group)

    @cached_property
    def _system(self) -> System:
        return mounts.system(self._readonly)

    @cached_property
    def _gate(self) -> list[str]:
        return gate_command()

    def _plan(
        self,
        argv: list[str],
        workdir: Path,
        limits: Limits,
        inputs: Mapping[str, Path],
        env: Mapping[str, str],
        uid: int,
    ) -> Plan:
        wall, system, place = self.wall(), self._system, self.places(workdir, inputs).workdir
        return Plan(
            argv=list(argv), env=_environment(place, wall, system.path, env), workdir=workdir.resolve(),
            inputs={name: path.resolve() for name, path in inputs.items()}, limits=limits, uid=uid, wall=wall,
            system=system, gate=self._gate,
        )  # fmt: skip

    def _group(self, plan: Plan, closing: contextlib.ExitStack) -> Group | None:
        check = self.probe().cgroup
        if not check.usable or plan.wall == "none":
            return None
        group = Group(Path(check.detail), f"sandbox-{os.getpid()}-{time.monotonic_ns()}", plan.limits)
        closing.callback(group.remove)
        return group


class _Attempt:
    """One program from its gate to its verdict."""

    def __init__(self, plan: Plan, started: Started, ground: Ground, on_output: OnOutput, began: float) -> None:
        self._plan, self._started, self._ground, self._began = plan, started, ground, began
        limits = plan.limits
        self._watch = Watch(ground.processes, ground.volumes, limits, started.ask, started.kill)
        self._output = Output(
            limits.output_bytes, on_output,
            lambda: self._watch.end("output_limit", f"more than {limits.output_bytes} bytes of output"),
        )  # fmt: skip

    async def run(self, cancel: asyncio.Event, group: Group | None) -> Verdict:
        """See ``Sandbox.run``."""
        try:
            refused = await self._pass_gate(group)
            passed = time.monotonic()
            if refused is not None:
                await self._clean()
                return replace(await self._hand_back(refused), start_s=passed - self._began)
            await self._follow(cancel)
            seconds = time.monotonic() - passed
            ending = await self._hand_back(await self._judge(group))
            return replace(ending, seconds=seconds, start_s=passed - self._began)
        finally:
            await asyncio.shield(self._clean())

    async def _pass_gate(self, group: Group | None) -> Verdict | None:
        """Let the program run; a verdict when it could not."""
        try:
            await self._ground.prepare()
            if group is not None:
                group.admit(self._started.program)
            await process.pass_gate(self._started.gate, self._plan.env)
        except TooLarge as error:
            return self._verdict("disk_limit", f"the working directory does not fit: {error}")
        except (StartError, OSError) as error:
            return self._verdict("sandbox_error", str(error))
        return None

    async def _follow(self, cancel: asyncio.Event) -> None:
        """Until the program is dead and everything it printed is handed on."""
        outer = self._started.process
        assert outer.stdout is not None, "it is a pipe"
        assert outer.stderr is not None, "it is a pipe"
        self._watch.start()
        end = asyncio.create_task(process.gone(self._started))
        pumps = [
            asyncio.create_task(self._output.pump("stdout", outer.stdout)),
            asyncio.create_task(self._output.pump("stderr", outer.stderr)),
        ]
        cancelling = asyncio.create_task(self._cancel(cancel))
        try:
            await asyncio.wait({end, *pumps}, return_when=asyncio.FIRST_EXCEPTION)
            for task in (end, *pumps):
                if task.done():
                    task.result()
        finally:
            self._started.kill()
            for task in (end, *pumps, cancelling):
                task.cancel()
            await asyncio.gather(end, *pumps, cancelling, return_exceptions=True)
            await asyncio.to_thread(self._watch.stop)

    async def _cancel(self, cancel: asyncio.Event) -> None:
        await cancel.wait()
        self._watch.end("cancelled", "cancellation was requested")

    async def _judge(self, group: Group | None) -> Verdict:
        """The cause: what the watch did, else what the kernel counted, else how the program ended."""
        watch, ending = self._watch, await self._ending()
        counted = group.outcome() if group is not None else None
        if watch.error is not None:
            return self._verdict("sandbox_error", f"the watch failed: {watch.error}")
        if counted is not None:
            watch.peak_bytes = max(watch.peak_bytes, counted.peak_bytes)
        if watch.cause is None and not ending.ok:
            if counted is not None and counted.out_of_memory:
                return self._verdict("memory_limit", "the kernel ended it at the memory limit of its group")
            if counted is not None and counted.out_of_processes:
                return self._verdict("process_limit", f"more than {self._plan.limits.processes} processes and threads")
            if ending.signal == signal.SIGXFSZ:
                return self._verdict("disk_limit", "a file outgrew the limit")
            watch.check_volumes()
        return self._verdict(watch.cause, watch.detail) if watch.cause is not None else ending

    async def _hand_back(self, ending: Verdict) -> Verdict:
        try:
            left_out = await self._ground.collect()
        except TooLarge as error:
            detail = f"what it left behind is more than may be handed back: {error}"
            return self._verdict("disk_limit", detail) if ending.cause in {"exited", "signalled"} else ending
        except OSError as error:
            return self._verdict("sandbox_error", f"its files could not be handed back: {error}")
        return replace(ending, left_out=left_out)

    async def _ending(self) -> Verdict:
        code = await self._started.process.wait()
        if self._plan.wall != "bwrap":
            word = await process.receive(self._started.gate)
            if word[:1] != b"X":
                return self._verdict("signalled", "it was ended from outside", number=signal.SIGKILL)
            code = os.waitstatus_to_exitcode(int(word[1:]))
        elif code > 128 and code - 128 in signal.valid_signals():
            code = 128 - code  # bubblewrap reports signals as shells do
        if code < 0:
            return self._verdict("signalled", signal.Signals(-code).name, number=-code)
        return self._verdict("exited", "", code=code)

    def _verdict(self, cause: Cause, detail: str, *, code: int | None = None, number: int | None = None) -> Verdict:
        return Verdict(
            cause=cause, wall=self._plan.wall, detail=detail, code=code, signal=number,
            output_bytes=self._output.taken, peak_memory_bytes=self._watch.peak_bytes,
        )  # fmt: skip

    async def _clean(self) -> None:
        """Whatever happened: nothing is alive after this."""
        self._started.gate.close()
        self._started.kill()
        await process.gone(self._started)
        await self._started.process.communicate()


def _environment(place: str, wall: Wall, path: str, extra: Mapping[str, str]) -> dict[str, str]:
    temporary = "/tmp" if wall == "bwrap" else f"{place}/.tmp"  # noqa: S108 -- a place inside
    base = {"PATH": path, "HOME": place, "TMPDIR": temporary, "USER": "sandbox", "LANG": "C.UTF-8"}
    return {**base, "TRIALBOOK_INPUTS": f"{place}/{INPUTS}", **extra}


def _check(argv: list[str], env: Mapping[str, str]) -> None:
    if not argv or not argv[0]:
        raise ValueError("there is no command to run")
    if any("\0" in text for text in (*argv, *env, *env.values())):
        raise ValueError("arguments and variables hold no NUL")
    if any(not name or "=" in name for name in env):
        raise ValueError("the name of a variable is not empty and holds no '='")
    if sum(len(os.fsencode(text)) + 1 for text in argv) > MAX_ARGV_BYTES:
        raise ValueError(f"the arguments exceed {MAX_ARGV_BYTES} bytes")
    if sum(len(os.fsencode(text)) + 2 for pair in env.items() for text in pair) > MAX_ENV_BYTES:
        raise ValueError(f"the variables exceed {MAX_ENV_BYTES} bytes")

"""Bringing a program to its gate, behind each wall."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from trialbook_runner.sandbox import bwrap, process, seccomp
from trialbook_runner.sandbox.ground import Box, Ground, Open, ruleset
from trialbook_runner.sandbox.kernel import machine
from trialbook_runner.sandbox.landlock import abi
from trialbook_runner.sandbox.mounts import BOX, System
from trialbook_runner.sandbox.process import Started
from trialbook_runner.sandbox.types import Limits, Wall


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """One program to run."""

    argv: list[str]
    env: dict[str, str]
    workdir: Path
    inputs: dict[str, Path]
    limits: Limits
    uid: int
    wall: Wall
    system: System
    gate: list[str]


class _Starting:
    """The two ways to a gate, which differ in who stands around it."""

    def __init__(self, plan: Plan, closing: contextlib.ExitStack) -> None:
        self._plan, self._closing = plan, closing
        self._rules = ruleset(abi(machine()), closing) if plan.wall != "none" else None
        self._gate, self._theirs = process.channel()
        closing.callback(self._gate.close)

    async def bwrap(self) -> tuple[Started, Ground]:
        """Namespaces, and Landlock within them. See ``start``."""
        plan, root = self._plan, self._plan.uid >= 0
        info, writing = os.pipe()
        self._closing.callback(os.close, info)
        private = bwrap.private_files(plan.inputs) if root else []
        fds = bwrap.Descriptors(
            seccomp=self._filter(unix_sockets=True), info=writing,
            files={name: self._open(plan.inputs[name]) for name in private},
        )  # fmt: skip
        binary = shutil.which("bwrap", path=os.defpath + ":/usr/local/bin")
        assert binary is not None, "the probe found it"
        # bubblewrap's own process 1 runs as the same user unless the runner is root. Landlock keeps a program's hands
        # off it; without Landlock the program must not see it.
        proc = root or self._rules is not None
        line = bwrap.arguments(binary, plan.system, plan.limits, plan.inputs, fds, root=root, proc=proc)
        try:
            running = await self._spawn([*line, *plan.gate, *self._words([])], [*_all(fds), *self._common()])
        finally:
            os.close(writing)
        return await self._arrive(running, lambda: int(json.loads(os.read(info, 4096))["child-pid"]), signal.SIGKILL)

    async def supervised(self) -> tuple[Started, Ground]:
        """Landlock and seccomp, or nothing, below a parent of ours. See ``start``."""
        confined = self._plan.wall == "landlock"
        code = self._filter(unix_sockets=False) if confined else -1
        script = f"import sys; sys.path.insert(0, {str(bwrap.LAUNCHER)!r}); import supervise; supervise.main()"
        words = self._words([str(code)])
        fds = [*([code] if confined else []), *self._common()]
        running = await self._spawn([sys.executable, "-I", "-S", "-c", script, *words], fds)
        return await self._arrive(running, lambda: running.pid, signal.SIGTERM)

    async def _spawn(self, command: list[str], fds: list[int]) -> asyncio.subprocess.Process:
        """A process that starts. When this is cancelled, it is abandoned: asyncio by itself would kill the outer one
        only, and then wait for ever for the outputs that are held open at the gate.
        """
        spawning = asyncio.create_task(process.spawn(command, fds))
        try:
            return await asyncio.shield(spawning)
        except asyncio.CancelledError:
            await asyncio.shield(self._abandon(spawning))
            raise
        finally:
            self._theirs.close()

    async def _abandon(self, spawning: asyncio.Task[asyncio.subprocess.Process]) -> None:
        await asyncio.wait({spawning})
        if spawning.exception() is None:  # else there is no process
            await process.abandon(spawning.result(), self._gate)

    async def _arrive(
        self, running: asyncio.subprocess.Process, anchor: Callable[[], int], kill_signal: signal.Signals
    ) -> tuple[Started, Ground]:
        plan = self._plan
        try:
            await process.expect(b"H", running, self._gate)
            started = process.started(running, self._gate, anchor(), kill_signal, self._closing)
            behind_bwrap = plan.wall == "bwrap"
            process.limit(started.program, plan.limits, namespace=behind_bwrap, root=plan.uid >= 0)
            await process.say(self._gate, b"L")
            await process.expect(b"R", running, self._gate)
            process.verify(started.program, plan.uid, seccomp=behind_bwrap)
            return started, self._ground(started)
        except BaseException:
            await process.abandon(running, self._gate)
            raise

    def _ground(self, started: Started) -> Ground:
        plan = self._plan
        if plan.wall == "bwrap":
            return Box(started, plan.workdir, plan.limits, plan.uid, self._rules, self._closing)
        return Open(
            started, plan.workdir, plan.limits, plan.uid, self._rules, plan.inputs, plan.system, self._closing
        )  # fmt: skip

    def _words(self, extra: list[str]) -> list[str]:
        """What the gate is told; see the launcher."""
        plan, here = self._plan, machine()
        numbers = here.numbers if here is not None else {}
        rules = self._rules.fd if self._rules is not None else -1
        directory = BOX if plan.wall == "bwrap" else str(plan.workdir)
        restrict = numbers.get("landlock_restrict_self", -1)
        head = [self._theirs.fileno(), rules, restrict, *extra, plan.uid]
        if plan.wall == "bwrap":
            head += [numbers[name] for name in ("setgroups", "setresgid", "setresuid")]
        return [*map(str, head), directory, *plan.argv]

    def _common(self) -> list[int]:
        return [self._theirs.fileno(), *([self._rules.fd] if self._rules is not None else [])]

    def _filter(self, *, unix_sockets: bool) -> int:
        here = machine()
        assert here is not None, "the probe knows this machine"
        fd = os.memfd_create("seccomp")
        self._closing.callback(os.close, fd)
        os.write(fd, seccomp.program(here, unix_sockets=unix_sockets))
        os.lseek(fd, 0, os.SEEK_SET)
        return fd

    def _open(self, path: Path) -> int:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._closing.callback(os.close, fd)
        return fd


async def start(plan: Plan, closing: contextlib.ExitStack) -> tuple[Started, Ground]:
    """The program at its gate, limited and looked at. ``closing`` closes what is held open for it.

    Raises ``StartError`` and ``OSError``; the process is gone then.
    """
    starting = _Starting(plan, closing)
    return await (starting.bwrap() if plan.wall == "bwrap" else starting.supervised())


def _all(fds: bwrap.Descriptors) -> list[int]:
    return [fds.seccomp, fds.info, *fds.files.values()]

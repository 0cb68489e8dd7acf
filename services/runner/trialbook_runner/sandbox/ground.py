"""Where a program runs: what it may write to, what is counted, and what is handed back."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from trialbook_runner.sandbox import landlock
from trialbook_runner.sandbox.files import INPUTS, Copy
from trialbook_runner.sandbox.kernel import machine
from trialbook_runner.sandbox.landlock import DEVICE, READ, WRITE, Ruleset
from trialbook_runner.sandbox.mounts import BOX, DEVICES, System
from trialbook_runner.sandbox.process import Started
from trialbook_runner.sandbox.processes import Processes, below, in_namespace
from trialbook_runner.sandbox.types import Limits
from trialbook_runner.sandbox.volumes import Tmpfs, Tree, Volume

SMALL_FILES = 4096
"""In the temporary directory and in shared memory, each."""


class Ground(Protocol):
    """Made while the program waits at its gate."""

    processes: Processes
    volumes: list[Volume]

    async def prepare(self) -> None:
        """Bring the working directory in. Raises ``TooLarge`` and ``OSError``."""
        ...

    async def collect(self) -> tuple[str, ...]:
        """Hand the working directory back after the end; what was left out. Raises ``TooLarge`` and ``OSError``."""
        ...


class Box:
    """Inside bubblewrap: a tmpfs that outlives its namespace for as long as we hold it open."""

    def __init__(
        self, started: Started, workdir: Path, limits: Limits, uid: int, ruleset: Ruleset | None,
        closing: contextlib.ExitStack,
    ) -> None:  # fmt: skip
        self._root = Path(f"/proc/{started.anchor}/root")
        self._workdir, self._limits, self._uid, self._ruleset = workdir, limits, uid, ruleset
        self._box = self._open(BOX, closing)
        self.processes = self._watched(started, closing)
        self.volumes: list[Volume] = [Tmpfs("the working directory", self._box, limits.disk_bytes, limits.files)]
        for place in ("tmp", "dev/shm"):
            self.volumes.append(Tmpfs(f"/{place}", self._open(place, closing), limits.tmp_bytes, SMALL_FILES))

    def _watched(self, started: Started, closing: contextlib.ExitStack) -> Processes:
        if (self._root / "proc").exists():
            proc = self._open("proc", closing)
            return Processes(proc, in_namespace(proc))
        return Processes(_proc(closing), below(started.anchor))

    def _open(self, name: str, closing: contextlib.ExitStack) -> int:
        fd = os.open(self._root / name.lstrip("/"), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        closing.callback(os.close, fd)
        return fd

    async def prepare(self) -> None:
        """See ``Ground``."""
        if self._uid >= 0:
            os.fchown(self._box, self._uid, self._uid)
        if self._ruleset is not None:
            writable = [self._root / name for name in (BOX.lstrip("/"), "tmp", "dev/shm")]
            self._ruleset.allow(READ, [self._root])
            self._ruleset.allow(READ | WRITE, writable)
            self._ruleset.allow(DEVICE, [self._root / name.lstrip("/") for name in DEVICES])
        if any(self._workdir.iterdir()):
            copy = Copy(self._limits.disk_bytes, self._limits.files, uid=self._uid)
            await asyncio.to_thread(_copy, copy, self._workdir, self._box, inward=True)

    async def collect(self) -> tuple[str, ...]:
        """See ``Ground``."""
        copy = Copy(self._limits.disk_bytes, self._limits.files)
        await asyncio.to_thread(_copy, copy, self._workdir, self._box, inward=False)
        return tuple(copy.left_out)


class Open:
    """Without namespaces: the working directory itself, with the inputs linked into it."""

    def __init__(
        self, started: Started, workdir: Path, limits: Limits, uid: int, ruleset: Ruleset | None,
        inputs: Mapping[str, Path], system: System, closing: contextlib.ExitStack,
    ) -> None:  # fmt: skip
        pids = below(started.anchor)
        self._workdir, self._uid, self._ruleset = workdir, uid, ruleset
        self._inputs, self._system = inputs, system
        self.processes = Processes(_proc(closing), pids)
        limit_files = limits.files + len(inputs) + 2
        self.volumes: list[Volume] = [
            Tree("the working directory", workdir, limits.disk_bytes, limit_files, pids),
        ]

    async def prepare(self) -> None:
        """See ``Ground``."""
        (self._workdir / INPUTS).mkdir(exist_ok=True)
        (self._workdir / ".tmp").mkdir(exist_ok=True)
        for name, path in self._inputs.items():
            (self._workdir / INPUTS / name).symlink_to(path)
        if self._uid >= 0:
            await asyncio.to_thread(own, self._workdir, self._uid)
        if self._ruleset is not None:
            self._ruleset.allow(READ, [Path(tree) for tree in self._system.trees])
            self._ruleset.allow(READ, self._inputs.values())
            self._ruleset.allow(READ | WRITE, [self._workdir])
            self._ruleset.allow(DEVICE, [Path(device) for device in DEVICES])

    async def collect(self) -> tuple[str, ...]:
        """See ``Ground``."""
        if self._uid >= 0:
            await asyncio.to_thread(own, self._workdir, os.geteuid())
        await asyncio.to_thread(self._tidy)
        return ()

    def _tidy(self) -> None:
        for name in (INPUTS, ".tmp"):
            path = self._workdir / name
            if path.is_symlink() or not path.is_dir():
                path.unlink(missing_ok=True)
            else:
                shutil.rmtree(path)


def own(directory: Path, uid: int) -> None:
    """Give a tree to a user, its links themselves included."""
    for _, directories, files, fd in os.fwalk(directory, follow_symlinks=False):
        os.fchown(fd, uid, uid)
        for name in (*directories, *files):
            os.chown(name, uid, uid, dir_fd=fd, follow_symlinks=False)


def _proc(closing: contextlib.ExitStack) -> int:
    fd = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    closing.callback(os.close, fd)
    return fd


def ruleset(abi: int, closing: contextlib.ExitStack) -> Ruleset | None:
    """An empty ruleset, where the kernel has Landlock."""
    here = machine()
    return closing.enter_context(landlock.Ruleset(here, abi)) if here is not None and abi else None


def _copy(copy: Copy, workdir: Path, box: int, *, inward: bool) -> None:
    host = os.open(workdir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        copy.run(host, box) if inward else copy.run(box, host)
    finally:
        os.close(host)

"""The processes of one program, as the kernel shows them to the runner."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import msgspec

PAGE = os.sysconf("SC_PAGE_SIZE")
_THREADS, _RSS = 17, 21  # fields of /proc/<pid>/stat after the name


class Sample(msgspec.Struct, frozen=True):
    """Processes and threads together, and resident memory in bytes (shared pages count once per process)."""

    tasks: int
    resident: int
    pids: tuple[int, ...]


class Processes:
    """``proc``: a descriptor of a /proc directory, ``pids``: which of its processes belong to the program."""

    def __init__(self, proc: int, pids: Callable[[], list[int]]) -> None:
        self.proc, self._pids = proc, pids

    def sample(self) -> Sample:
        """Look once. Processes that end meanwhile are left out."""
        tasks = resident = 0
        pids = self._pids()
        for pid in pids:
            fields = self._read(f"{pid}/stat").rpartition(b")")[2].split()
            if fields:
                tasks += int(fields[_THREADS])
                resident += int(fields[_RSS]) * PAGE
        return Sample(tasks, resident, tuple(pids))

    def proportional(self, pids: tuple[int, ...]) -> int:
        """Memory in bytes with shared pages divided among those who share them, swapped ones included."""
        total = 0
        for pid in pids:
            for line in self._read(f"{pid}/smaps_rollup").splitlines():
                if line.startswith((b"Pss:", b"SwapPss:")):
                    total += int(line.split()[1]) * 1024
        return total

    def _read(self, name: str) -> bytes:
        try:
            fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self.proc)
        except OSError:
            return b""
        try:
            return os.read(fd, 8192)
        except OSError:
            return b""
        finally:
            os.close(fd)


def in_namespace(proc: int) -> Callable[[], list[int]]:
    """Everybody in a process namespace but its first, which is bubblewrap's."""

    def pids() -> list[int]:
        try:
            return [int(name) for name in os.listdir(proc) if name.isdigit() and name != "1"]
        except OSError:  # the namespace is gone
            return []

    return pids


def below(parent: int) -> Callable[[], list[int]]:
    """Everybody who descends from a process that adopts orphans."""
    return lambda: descendants(parent)


def descendants(pid: int) -> list[int]:
    """Process ids below a process, in no order. Those that end meanwhile are left out."""
    found: list[int] = []
    waiting = [pid]
    while waiting:
        try:
            tasks = list(Path(f"/proc/{waiting.pop()}/task").iterdir())
        except OSError:
            continue
        for task in tasks:
            try:
                children = [int(text) for text in (task / "children").read_text().split()]
            except OSError:
                continue
            found += children
            waiting += children
    return found


def count_of_user(uid: int) -> int:
    """Processes and threads that the kernel counts for a user."""
    total = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                status = (entry / "status").read_text()
            except OSError:
                continue
            fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
            if int(fields["Uid"].split()[0]) == uid:
                total += int(fields["Threads"])
    return total

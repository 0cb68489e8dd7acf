"""Control groups (version 2): caps on memory and processes that bind whoever the program is."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

import msgspec

from trialbook_runner.sandbox.types import RESERVE, Check, Limits, hard_bytes

NEEDED: Final = frozenset({"memory", "pids"})
ADVICE: Final = (
    "start the runner with systemd-run --user --scope -p Delegate=yes and name a group below its own in "
    "TRIALBOOK_SANDBOX_CGROUP"
)


class Outcome(msgspec.Struct, frozen=True):
    """What the kernel counted."""

    peak_bytes: int
    out_of_memory: bool
    out_of_processes: bool


def candidate(named: str, mounts: str, own: str) -> Path | None:
    """The group under which programs would get theirs: the named one, else the runner's own.

    ``mounts`` and ``own`` are the texts of /proc/self/mounts and /proc/self/cgroup. None when there is no version 2.
    """
    if named:
        return Path(named)
    roots = mounted(mounts)
    paths = [line[3:] for line in own.splitlines() if line.startswith("0::")]
    return Path(f"{roots[0]}{paths[0]}") if roots and paths else None


def mounted(mounts: str) -> list[Path]:
    """Where control groups of version 2 are mounted."""
    return [Path(fields[1]) for fields in (line.split() for line in mounts.splitlines()) if fields[2] == "cgroup2"]


def check(named: str, proc: Path = Path("/proc/self")) -> Check:
    """Whether groups can be made here, and where. ``named``: the setting, empty to look at the runner's own group."""
    own, mounts = (proc / "cgroup").read_text(), (proc / "mounts").read_text()
    parent = candidate(named, mounts, own)
    if parent is None:
        return Check(usable=False, detail="no cgroup version 2 is mounted here")
    if not any(parent.resolve().is_relative_to(root) for root in mounted(mounts)):
        # A plain directory would take every limit that is written to it and bind nothing.
        return Check(usable=False, detail=f"{parent} is in no file system of control groups of version 2")
    try:
        offered = set((parent / "cgroup.controllers").read_text().split())
        enabled = set((parent / "cgroup.subtree_control").read_text().split())
    except OSError as error:
        return Check(usable=False, detail=f"{parent}: {error.strerror}")
    if missing := NEEDED - offered:
        return Check(usable=False, detail=f"{parent} has no {' and '.join(sorted(missing))} controller (they may be "
                     "bound to version 1, or not be delegated)")  # fmt: skip
    if missing := NEEDED - enabled:
        return Check(usable=False, detail=f"{parent} does not pass {' and '.join(sorted(missing))} on: {ADVICE}")
    if not os.access(parent, os.W_OK) or not os.access(parent / "cgroup.procs", os.W_OK):
        return Check(usable=False, detail=f"{parent} is not delegated to this user: {ADVICE}")
    return Check(usable=True, detail=str(parent))


class Group:
    """The group of one program. Raises ``OSError`` where the kernel refuses."""

    def __init__(self, parent: Path, name: str, limits: Limits) -> None:
        self.path = parent / name
        self.path.mkdir()
        try:
            self._limit(limits)
        except OSError:
            self.path.rmdir()
            raise

    def _limit(self, limits: Limits) -> None:
        # What is written to a tmpfs is memory of the group, so that the sizes of both are allowed for.
        ceiling = limits.memory_bytes + hard_bytes(limits.disk_bytes) + 2 * hard_bytes(limits.tmp_bytes)
        self._write("memory.max", str(ceiling))
        if (self.path / "memory.swap.max").exists():
            self._write("memory.swap.max", "0")
        self._write("memory.oom.group", "1")
        self._write("pids.max", str(limits.processes + RESERVE))

    def admit(self, pid: int) -> None:
        """Put a process, and everything it will start, into the group."""
        self._write("cgroup.procs", str(pid))

    def outcome(self) -> Outcome:
        """What happened in the group."""
        peak = self.path / "memory.peak"
        return Outcome(
            int(peak.read_text()) if peak.exists() else 0,
            self._event("memory.events", "oom_kill") > 0,
            self._event("pids.events", "max") > 0,
        )

    def remove(self) -> None:
        """Kill whoever is left and remove the group."""
        if (self.path / "cgroup.kill").exists():
            self._write("cgroup.kill", "1")
        for _ in range(200):
            if "populated 0" in (self.path / "cgroup.events").read_text():
                break
            time.sleep(0.005)
        self.path.rmdir()

    def _write(self, name: str, value: str) -> None:
        (self.path / name).write_text(value)

    def _event(self, name: str, key: str) -> int:
        lines = (line.split() for line in (self.path / name).read_text().splitlines())
        return next((int(count) for found, count in lines if found == key), 0)

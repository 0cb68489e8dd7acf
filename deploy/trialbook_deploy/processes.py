"""Process trees: who descends from whom, and how to leave none of them behind."""

from __future__ import annotations

import os
import signal
import time
from collections import defaultdict
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")


def _parents(*, zombies: bool = False) -> dict[int, int]:
    """Parent of each process. Empty where there is no /proc."""
    parents = {}
    for entry in PROC.glob("[0-9]*/stat"):
        try:
            # The name in parentheses may hold spaces and parentheses: fields count from the last one.
            state, parent = entry.read_text().rpartition(")")[2].split()[:2]
        except (OSError, ValueError):
            continue  # ended while being read
        if zombies or state not in "ZX":
            parents[int(entry.parent.name)] = int(parent)
    return parents


def descendants(pid: int) -> list[int]:
    """All live processes below `pid`, nearest first."""
    below: defaultdict[int, list[int]] = defaultdict(list)
    for child, parent in _parents().items():
        below[parent].append(child)
    found: list[int] = []
    level = below[pid]
    while level:
        found += level
        level = [grandchild for child in level for grandchild in below[child]]
    return found


def alive(pid: int) -> bool:
    """Whether `pid` runs (a zombie does not)."""
    try:
        os.kill(pid, 0)
        stat = (PROC / str(pid) / "stat").read_text() if PROC.is_dir() else ""
    except (ProcessLookupError, FileNotFoundError):
        return False
    return not stat or stat.rpartition(")")[2].split()[0] not in "ZX"


def send(pid: int, number: signal.Signals) -> None:
    """Signal one process; one that has ended is no error."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def send_group(pid: int, number: signal.Signals) -> None:
    """Signal the process group led by `pid`; one that has ended is no error."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _reap(pid: int) -> None:
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def kill_strays(known: Collection[int]) -> bool:
    """Kill and reap this process's children that are not `known`: orphans that it adopted.

    Returns whether there were any; call it until there are none, for their own children are adopted in turn.
    """
    parent = os.getpid()
    strays = [pid for pid, of in _parents(zombies=True).items() if of == parent and pid not in known]
    for pid in strays:
        send(pid, signal.SIGKILL)
        _reap(pid)
    return bool(strays)


def kill_descendants(timeout_seconds: float = 5.0) -> list[int]:
    """Kill everything below this process and wait until it is gone. Returns what is left after the timeout."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        left = descendants(os.getpid())
        for pid in left:
            send(pid, signal.SIGKILL)
        for pid in left:
            _reap(pid)
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.01)

"""Reaping adopted processes. The runner adopts what its descendants leave behind, and nobody else waits for it.

A child that somebody here waits for is reaped within milliseconds of its end; one that is found ended twice in a row is
a stray. Waiting for "any child" instead would take the exit codes of those others are waiting for.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path

EVERY_S = 2.0
QUIET_PASSES = 10
"""The kernel's list of children leaves some out while others end; and a dying parent hands its children on later."""
KILL_PASSES, PAUSE_S = 200, 0.01
"""What cannot be killed in two seconds (a hung disk) must not hold up the others."""
PROC = Path("/proc")


async def reap_strays() -> None:
    """Look for ever; does nothing where there is no /proc."""
    ended: set[int] = set()
    while supported():
        found = {pid for pid in children() if state(pid) == "Z"}
        for pid in found & ended:
            with contextlib.suppress(ChildProcessError):  # its owner was quicker after all
                os.waitpid(pid, os.WNOHANG)  # noqa: ASYNC222 -- it does not wait
        ended = found - ended
        await asyncio.sleep(EVERY_S)


async def kill_children() -> None:
    """Kill this process's children, and theirs as they are adopted, until none is alive. For when it is to end anyway:
    the fork server was killed, and what its workloads had started is nobody's.
    """
    quiet = 0
    for _ in range(KILL_PASSES if supported() else 0):
        alive = {pid for pid in children() if state(pid) not in ("Z", "")}
        for pid in alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        quiet = 0 if alive else quiet + 1
        if quiet == QUIET_PASSES:
            return
        await asyncio.sleep(PAUSE_S)


def supported() -> bool:
    """Whether there is a /proc to look into."""
    return PROC.is_dir()


def children() -> set[int]:
    """Process ids of this process's children, adopted ones too."""
    found: set[int] = set()
    for task in (PROC / "self" / "task").iterdir():
        with contextlib.suppress(OSError):  # the thread has just ended
            found.update(map(int, (task / "children").read_text().split()))
    return found


def state(pid: int) -> str:
    """The letter of its state, ``Z`` for ended and not waited for; empty when it is gone."""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(") ")[2][:1]
    except OSError:
        return ""

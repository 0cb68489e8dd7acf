"""What Linux offers against orphans, through prctl(2): death signals and child subreapers."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None, use_errno=True)


def prctl(option: int, value: int, more: int = 0) -> None:
    """Raises ``OSError``."""
    if _libc.prctl(option, ctypes.c_ulong(value), ctypes.c_ulong(more), 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, f"prctl({option}): {os.strerror(number)}")


def die_with_parent(signal_number: int) -> None:
    """Let the kernel send this process a signal when its parent dies."""
    prctl(PR_SET_PDEATHSIG, signal_number)


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parents end, instead of process 1."""
    prctl(PR_SET_CHILD_SUBREAPER, 1)


def children() -> list[int]:
    """Process ids of this process's children (its main thread's; others have none here)."""
    pid = os.getpid()
    return [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def threads() -> int:
    """Number of threads of this process."""
    return sum(1 for _ in Path("/proc/self/task").iterdir())

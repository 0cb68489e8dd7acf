"""Runs a program that cannot outlive its supervisor: `python guard.py SUPERVISOR_PID PROGRAM ARGUMENTS...`.

The kernel kills the program when the supervisor dies, and every process that the program's descendants leave behind
becomes its own child, so that killing what it left is possible. Both properties survive the exec. Started as a plain
file with `-I -S`, so it imports nothing but the standard library.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}) failed")


def adopt_orphans() -> None:
    """Make this process the parent of its descendants' orphans (Linux; elsewhere the lifeline pipe has to do)."""
    if sys.platform == "linux":
        _prctl(PR_SET_CHILD_SUBREAPER, 1)


def main() -> None:
    """Bind this process to its supervisor's life, then become the program."""
    supervisor = int(sys.argv[1])
    if sys.platform == "linux":
        _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    adopt_orphans()
    # The supervisor may have died before prctl took effect: then nobody would send the signal.
    if os.getppid() != supervisor:
        sys.exit(1)
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606 - the supervisor's own argument list


if __name__ == "__main__":
    main()

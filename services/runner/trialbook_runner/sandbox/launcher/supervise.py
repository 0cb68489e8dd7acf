"""The parent of a program that has no process namespace: adopts everything it starts and leaves nothing behind.

Run by ``python -I -S`` with this directory as its path, and without what takes long to import. It stays outside of the
walls; the program cannot signal it, because it has another user id or because Landlock scopes its signals. SIGTERM,
which the kernel also sends when the runner dies, ends everything.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
import time

from gate import check, enter  # type: ignore[import-not-found]

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing takes long to import
    from typing import NoReturn

PDEATHSIG, SUBREAPER = 1, 36


def descendants(pid: int) -> list[int]:
    """Everything below a process. Whoever loses its parent becomes our child, so nobody escapes."""
    found = []
    for task in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 -- pathlib takes long to import
        try:
            with open(f"/proc/{pid}/task/{task}/children") as file:  # noqa: PTH123 -- likewise
                below = [int(text) for text in file.read().split()]
        except OSError:  # it ended while we looked
            continue
        for child in below:
            found.append(child)
            try:
                found += descendants(child)
            except OSError:  # likewise
                continue
    return found


def end_everything(uid: int) -> None:
    """Kill until nobody is left. Neither who is killed at one stroke nor who may start no other can outrun that."""
    while True:
        if uid >= 0:
            end_user(uid)
        for pid in descendants(os.getpid()):
            try:
                if uid < 0:
                    resource.prlimit(pid, resource.RLIMIT_NPROC, (0, 0))
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        try:
            ended, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not ended:  # the kernel's list leaves some out while others end: look again
            time.sleep(0.005)


def end_user(uid: int) -> None:
    """Kill all processes of the program's user at one stroke."""
    pid = os.fork()
    if pid == 0:
        os.setresuid(uid, uid, uid)
        os.kill(-1, signal.SIGKILL)
        os._exit(0)
    os.waitpid(pid, 0)


def supervise(gate: int, started: int, program: int, uid: int) -> NoReturn:
    """Report ``S`` when the program runs and ``X`` with its wait status at the end."""
    os.read(started, 1)
    os.write(gate, b"S")
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == program:
            break
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    end_everything(uid)
    os.write(gate, f"X{status}".encode())
    os._exit(0)


def main() -> None:
    """Fork the program."""
    gate, ruleset, restrict, seccomp, uid = (int(text) for text in sys.argv[1:6])
    libc = ctypes.CDLL(None, use_errno=True)
    check(libc.prctl(SUBREAPER, 1, 0, 0, 0))
    check(libc.prctl(PDEATHSIG, signal.SIGTERM, 0, 0, 0))

    def on_term(*_: object) -> None:
        end_everything(uid)
        os._exit(0)

    signal.signal(signal.SIGTERM, on_term)
    os.set_inheritable(gate, False)
    reading, writing = os.pipe()  # not inherited by a program, so its end says that the program runs
    program = os.fork()
    if program == 0:
        os.close(reading)
        os.setsid()
        enter(gate, ruleset, restrict, seccomp, uid, sys.argv[6:])
    os.close(writing)
    supervise(gate, reading, program, uid)

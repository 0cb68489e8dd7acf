"""A process without networks: what a replay is executed in, so that what it needs can only come from the record.

The first wall that can be had is used: an empty network namespace, else a seccomp filter that allows sockets of this
machine's own only. Before either of them a hook of the interpreter says which address was wanted.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import socket
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from trialbook_runner.execute import linux
from trialbook_runner.sandbox import kernel, seccomp

Wall = Literal["namespace", "seccomp", "none"]
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 22, 38
SECCOMP_MODE_FILTER = 2
MAX_REFUSED = 20
LOCAL = (socket.AF_UNIX, socket.AF_NETLINK)
"""Families that reach no other machine; the sandbox inside needs the second one to set up its own namespace."""


class Offline:
    """``wall``: what keeps this process from networks; ``refused``: the first addresses that it tried to reach."""

    def __init__(self, wall: Wall) -> None:
        self.wall = wall
        self.refused: list[str] = []

    def listen(self) -> None:
        """Refuse what Python code tries, by name; what other code tries meets the wall."""
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not event.startswith("socket."):
            return
        if event in ("socket.connect", "socket.sendto", "socket.sendmsg") and arguments[0].family not in LOCAL:
            self._refuse(arguments[1])
        elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
            self._refuse(arguments[:2])
        elif event == "socket.__new__" and self.wall == "seccomp" and arguments[1] not in LOCAL:
            self._refuse(f"a socket of family {arguments[1]}")  # there is none, so no address is heard of

    def _refuse(self, address: Any) -> None:
        parts = address if isinstance(address, tuple) else (address,)
        text = ":".join(part.decode(errors="replace") if isinstance(part, bytes) else str(part) for part in parts[:2])
        if text not in self.refused and len(self.refused) < MAX_REFUSED:
            self.refused.append(text)
        raise OSError(errno.ENETUNREACH, f"a replay has no network; it was to reach {text}")


def go_offline() -> Offline:
    """Cut this process, which has one thread, and all that it starts off from networks, for ever."""
    walls: tuple[tuple[Wall, Callable[[], None]], ...] = (("namespace", by_namespace), ("seccomp", by_filter))
    offline = Offline(next((wall for wall, build in walls if _works(build)), "none"))
    for wall, build in walls:
        if wall == offline.wall:
            build()
    offline.listen()
    return offline


def by_namespace() -> None:
    """Move into an empty network namespace, with a user namespace of its own where rights are missing.

    Raises ``OSError``.
    """
    user, group = os.getuid(), os.getgid()
    if not _unshare(CLONE_NEWNET):
        if not _unshare(CLONE_NEWUSER | CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "unshare")
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
        linux.die_with_parent(signal.SIGKILL)  # changed credentials forget it


def by_filter() -> None:
    """Allow no sockets but of the ``LOCAL`` families. Raises ``OSError``."""
    machine = kernel.machine()
    if machine is None:
        raise OSError(errno.ENOSYS, "the system calls of this machine are not known")
    code = seccomp.only_families(machine, [int(family) for family in LOCAL])
    buffer = ctypes.create_string_buffer(code, len(code))
    program = ctypes.create_string_buffer(struct.pack("@HxxxxxxQ", len(code) // 8, ctypes.addressof(buffer)))
    linux.prctl(PR_SET_NO_NEW_PRIVS, 1)
    linux.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(program))


def _works(build: Callable[[], None]) -> bool:
    """Tried in a process of its own: a wall that fails halfway must leave this one as it was."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            build()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def _unshare(flags: int) -> bool:
    return bool(ctypes.CDLL(None, use_errno=True).unshare(flags) == 0)

"""Whom a program runs as. A runner that is root gives every program a user id of its own, which owns nothing."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from trialbook_runner.sandbox.types import Check, SandboxUnavailable

FIRST_UID: Final = 0x70000000
"""The first id of the range that systemd's and other allocations leave free."""
UIDS: Final = 4096
CAP_SETGID, CAP_SETUID = 6, 7


def first_uid(uid_map: str) -> int | None:
    """Where our ids begin, given /proc/self/uid_map; None when this user namespace has too few."""
    ranges = [tuple(int(field) for field in line.split()) for line in uid_map.splitlines()]
    for inside, _, count in ranges:
        if inside <= FIRST_UID and inside + count >= FIRST_UID + UIDS:
            return FIRST_UID
    inside, _, count = max(ranges, key=lambda r: r[2])
    return inside + count - 1 - UIDS if count > 8 * UIDS else None


def capabilities() -> int:
    """The effective capabilities of this process, as bits."""
    status = Path("/proc/self/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("CapEff")), 16)


def check() -> Check:
    """Whether programs get an identity that process limits bind."""
    if os.geteuid() != 0:
        return Check(usable=True, detail=f"the runner is not root (uid {os.geteuid()})")
    needed = 1 << CAP_SETUID | 1 << CAP_SETGID
    if capabilities() & needed != needed:
        return Check(
            usable=False,
            detail="the runner is root but may not change its user id (no CAP_SETUID, CAP_SETGID), and no limit on "
            "processes binds root: run it as an ordinary user",
        )
    first = first_uid(Path("/proc/self/uid_map").read_text())
    if first is None:
        return Check(
            usable=False,
            detail="the runner is root in a user namespace with too few user ids, and no process limit binds root: run "
            "it as an ordinary user",
        )
    return Check(usable=True, detail=f"the runner is root; programs get a user id from {first} on")


@contextmanager
def identity() -> Iterator[int]:
    """A user id that no other program of this machine has meanwhile; -1 when the runner is not root.

    Raises ``SandboxUnavailable`` when all are taken.
    """
    if os.geteuid() != 0:
        yield -1
        return
    first = first_uid(Path("/proc/self/uid_map").read_text())
    assert first is not None, "``check`` comes before"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as taken:
        for number in range(UIDS):
            uid = first + (os.getpid() + number) % UIDS
            try:
                taken.bind(f"\0trialbook-sandbox-{uid}")  # the kernel frees the name however this process ends
            except OSError:
                continue
            yield uid
            return
    raise SandboxUnavailable(f"all {UIDS} user ids of sandboxes are taken")

"""Landlock rulesets: which files a process may touch, whatever its mount namespace shows it."""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Self

from trialbook_runner.sandbox.kernel import Machine, call

VERSION_QUESTION: Final = 1
RULE_PATH_BENEATH: Final = 1

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
REMOVE_DIR, REMOVE_FILE, MAKE_CHAR, MAKE_DIR = 1 << 4, 1 << 5, 1 << 6, 1 << 7
MAKE_REG, MAKE_SOCK, MAKE_FIFO, MAKE_BLOCK, MAKE_SYM = 1 << 8, 1 << 9, 1 << 10, 1 << 11, 1 << 12
REFER, TRUNCATE, IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
BIND_TCP, CONNECT_TCP = 1, 2
SCOPE_ABSTRACT_UNIX, SCOPE_SIGNAL = 1, 2

SIGNAL_SCOPE_ABI: Final = 6
FILE_RIGHTS: Final = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
READ: Final = EXECUTE | READ_FILE | READ_DIR
WRITE: Final = (
    WRITE_FILE | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | MAKE_SOCK | MAKE_FIFO | MAKE_SYM | REFER | TRUNCATE
)
DEVICE: Final = READ_FILE | WRITE_FILE | IOCTL_DEV


def abi(machine: Machine | None) -> int:
    """The kernel's version of Landlock; 0 when it has none or it is switched off."""
    if machine is None:
        return 0
    try:
        return call(machine.numbers["landlock_create_ruleset"], 0, 0, VERSION_QUESTION)
    except OSError:
        return 0


def handled(version: int) -> tuple[int, int, int]:
    """Everything that a version can deny: rights on files, on the network, and scopes."""
    files = (1 << 13) - 1
    for since, right in ((2, REFER), (3, TRUNCATE), (5, IOCTL_DEV)):
        if version >= since:
            files |= right
    network = BIND_TCP | CONNECT_TCP if version >= 4 else 0
    scopes = SCOPE_ABSTRACT_UNIX | SCOPE_SIGNAL if version >= SIGNAL_SCOPE_ABI else 0
    return files, network, scopes


class Ruleset:
    """Denies whatever the kernel can deny, except what is allowed with ``allow``. Its descriptor is inherited by the
    process that confines itself with it. TCP, abstract sockets and signals to the outside are always denied.
    """

    def __init__(self, machine: Machine, version: int) -> None:
        """Raises ``OSError``."""
        self._machine = machine
        self._files, network, scopes = handled(version)
        attributes = struct.pack("=QQQ", self._files, network, scopes)
        size = 8 if version < 4 else 16 if version < SIGNAL_SCOPE_ABI else 24
        self.fd = call(machine.numbers["landlock_create_ruleset"], attributes, size, 0)

    def allow(self, rights: int, paths: Iterable[Path]) -> None:
        """Allow rights beneath each path that exists. Raises ``OSError``."""
        for path in paths:
            try:
                fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            try:
                allowed = rights & self._files
                if not stat.S_ISDIR(os.fstat(fd).st_mode):
                    allowed &= FILE_RIGHTS
                beneath = struct.pack("=Qi", allowed, fd)
                call(self._machine.numbers["landlock_add_rule"], self.fd, RULE_PATH_BENEATH, beneath, 0)
            finally:
                os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)

"""How much a program has stored, asked without its help."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import msgspec


class Use(msgspec.Struct, frozen=True):
    """Bytes and files (directories included) in use."""

    size: int
    files: int


class Volume(Protocol):
    """Something that a program may write to."""

    name: str
    max_bytes: int
    max_files: int

    def use(self) -> Use:
        """What is in use now. Raises ``OSError``."""
        ...


class Tmpfs:
    """A tmpfs of its own: the kernel counts, and refuses what exceeds its size (see ``hard_bytes``)."""

    def __init__(self, name: str, fd: int, max_bytes: int, max_files: int) -> None:
        self.name, self._fd, self.max_bytes, self.max_files = name, fd, max_bytes, max_files

    def use(self) -> Use:
        """See ``Volume``."""
        numbers = os.fstatvfs(self._fd)
        return Use((numbers.f_blocks - numbers.f_bfree) * numbers.f_frsize, numbers.f_files - numbers.f_ffree)


class Tree:
    """A directory of a shared file system, walked. ``pids`` lends the processes whose unlinked files count too."""

    def __init__(
        self, name: str, path: Path, max_bytes: int, max_files: int, pids: Callable[[], list[int]]
    ) -> None:  # fmt: skip
        self.name, self._path, self.max_bytes, self.max_files, self._pids = name, path, max_bytes, max_files, pids

    def use(self) -> Use:
        """See ``Volume``. Stops counting where the limit is exceeded."""
        size, files = self._unlinked(), 0
        waiting = [str(self._path)]
        while waiting and files <= self.max_files and size <= self.max_bytes:
            try:
                with os.scandir(waiting.pop()) as entries:
                    for entry in entries:
                        files += 1
                        status = entry.stat(follow_symlinks=False)
                        size += status.st_blocks * 512
                        if stat.S_ISDIR(status.st_mode):
                            waiting.append(entry.path)
                        if files > self.max_files:
                            break
            except FileNotFoundError:  # removed while we looked
                continue
        return Use(size, files)

    def _unlinked(self) -> int:
        """Bytes of files that are open but have no name any more."""
        sizes: dict[tuple[int, int], int] = {}
        for pid in self._pids():
            try:
                with os.scandir(f"/proc/{pid}/fd") as entries:
                    for entry in entries:
                        status = entry.stat()
                        if stat.S_ISREG(status.st_mode) and status.st_nlink == 0:
                            sizes[status.st_dev, status.st_ino] = status.st_blocks * 512
            except OSError:  # it ended while we looked
                continue
        return sum(sizes.values())

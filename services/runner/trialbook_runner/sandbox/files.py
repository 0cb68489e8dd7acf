"""Copying into and out of the writable directory without following a link anywhere.

Both sides are walked by descriptors, so that no name the program chose can lead out of its directory; nothing runs in
it any more when it is copied out.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

INPUTS: Final = "inputs"
"""Where the inputs are, within the working directory; never copied back."""
MAX_DEPTH: Final = 48
MAX_LEFT_OUT: Final = 100
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
INPUT_NAME: Final = re.compile(r"[^/.\0][^/\0]{0,199}")


class TooLarge(Exception):
    """What was to be copied exceeds the limit."""


class Copy:
    """One copy of a tree between two open directories, at most ``max_bytes`` and ``max_files``. ``uid`` owns what is
    made, -1 leaves it to the runner. ``left_out`` names what was not copied, with the reason.
    """

    def __init__(self, max_bytes: int, max_files: int, *, uid: int = -1) -> None:
        self._bytes, self._files, self._uid = max_bytes, max_files, uid
        self.left_out: list[str] = []

    def run(self, source: int, target: int) -> None:
        """Copy. Raises ``TooLarge`` and ``OSError``."""
        self._directory(source, target, "", 0)

    def _directory(self, source: int, target: int, prefix: str, depth: int) -> None:
        for name in sorted(os.listdir(source)):
            if not prefix and name == INPUTS:
                continue
            path = prefix + name
            status = os.stat(name, dir_fd=source, follow_symlinks=False)
            self._files -= 1
            if self._files < 0:
                raise TooLarge("too many files")
            try:
                if stat.S_ISDIR(status.st_mode):
                    self._descend(source, target, path, depth)
                elif stat.S_ISREG(status.st_mode):
                    self._file(source, target, name, status)
                else:
                    self._leave_out(path, _kind(status.st_mode))
            except (PermissionError, FileExistsError, IsADirectoryError, NotADirectoryError) as error:
                self._leave_out(path, error.strerror or str(error))
            except OSError as error:
                if error.errno == errno.ELOOP:
                    self._leave_out(path, "a link is in the way")
                elif error.errno == errno.ENOSPC:
                    raise TooLarge("no space left") from error
                else:
                    raise

    def _descend(self, source: int, target: int, path: str, depth: int) -> None:
        name = path.rpartition("/")[2]
        if depth >= MAX_DEPTH:
            self._leave_out(path, f"deeper than {MAX_DEPTH} directories")
            return
        from_ = os.open(name, _DIRECTORY, dir_fd=source)
        try:
            made = _make(name, target)
            to = os.open(name, _DIRECTORY, dir_fd=target)
            try:
                if made:
                    self._own(to)
                self._directory(from_, to, path + "/", depth + 1)
            finally:
                os.close(to)
        finally:
            os.close(from_)

    def _file(self, source: int, target: int, name: str, status: os.stat_result) -> None:
        self._bytes -= status.st_size
        if self._bytes < 0:
            raise TooLarge("too many bytes")
        mode = 0o755 if status.st_mode & 0o100 else 0o644
        from_ = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=source)
        with os.fdopen(from_, "rb") as reader:
            _remove(name, target)
            to = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode, dir_fd=target)
            with os.fdopen(to, "wb") as writer:
                self._own(to)
                shutil.copyfileobj(reader, writer, 1 << 20)

    def _own(self, fd: int) -> None:
        if self._uid >= 0:
            os.fchown(fd, self._uid, self._uid)

    def _leave_out(self, path: str, reason: str) -> None:
        if len(self.left_out) < MAX_LEFT_OUT:
            self.left_out.append(f"{path.encode('utf-8', 'backslashreplace').decode()}: {reason}")


def _make(name: str, target: int) -> bool:
    try:
        os.mkdir(name, 0o755, dir_fd=target)
    except FileExistsError:
        return False
    return True


def _remove(name: str, target: int) -> None:
    """Make room for a file. A directory of that name stays and is reported."""
    try:
        os.unlink(name, dir_fd=target)
    except FileNotFoundError:
        return


def _kind(mode: int) -> str:
    kinds = {stat.S_IFLNK: "a link", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "a device")


def check_inputs(inputs: Mapping[str, Path]) -> None:
    """Raises ``ValueError`` for a name that is no plain file name or a path that does not exist."""
    for name, path in inputs.items():
        if not path.exists():
            raise ValueError(f"input {name!r}: there is no {path}")
        if not INPUT_NAME.fullmatch(name) or not name.isprintable():
            raise ValueError(
                f"{name!r} is no name for an input: printable, no '/', no '.' first, at most 200 characters"
            )

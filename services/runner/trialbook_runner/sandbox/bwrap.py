"""The command line of bubblewrap for one program."""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from trialbook_runner.sandbox.files import INPUTS
from trialbook_runner.sandbox.mounts import BOX, System, parents
from trialbook_runner.sandbox.types import Limits, hard_bytes

TMPFS: Final = ("/tmp", "/dev/shm")  # noqa: S108 -- these are places inside
LAUNCHER: Final = Path(__file__).with_name("launcher")
NAMESPACES: Final = ("--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup")
AS_USER: Final = ("--unshare-user", "--disable-userns", "--uid", "1000", "--gid", "1000")
AS_ROOT: Final = ("--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID")
"""Root needs no user namespace to make the others, and the gate gives root up for a user id of its own. With a user
namespace the program would still be root to the kernel's process accounting.
"""


class Descriptors(msgspec.Struct, frozen=True, kw_only=True):
    """What bubblewrap inherits. ``files``: input name -> a file that the program's user could not open by itself."""

    seccomp: int
    info: int
    files: dict[str, int]


def arguments(
    binary: str, system: System, limits: Limits, inputs: Mapping[str, Path], fds: Descriptors, *, root: bool, proc: bool
) -> list[str]:
    """Everything up to the command, which follows. ``proc``: whether the program sees the processes inside."""
    line = [binary, *(AS_ROOT if root else AS_USER), *NAMESPACES, "--die-with-parent", "--new-session", "--clearenv"]
    line += ["--hostname", "sandbox", "--chdir", "/", "--info-fd", str(fds.info), "--seccomp", str(fds.seccomp)]
    for directory in parents([*system.trees, "/proc", "/dev", BOX, *TMPFS[:1]]):
        line += ["--perms", "0755", "--dir", directory]
    hidden = [tree for tree in system.trees if _within(tree, TMPFS)]  # an installation below /tmp
    for tree in system.trees:
        if tree not in hidden:
            line += ["--ro-bind", tree, tree]
    for link, target in system.links.items():
        line += ["--symlink", target, link]
    line += [*(["--proc", "/proc"] if proc else []), "--dev", "/dev"]
    for place in TMPFS:
        line += ["--perms", "1777", "--size", str(hard_bytes(limits.tmp_bytes)), "--tmpfs", place]
    for directory in parents(hidden):
        if _within(directory, TMPFS):
            line += ["--perms", "0755", "--dir", directory]
    for tree in hidden:
        line += ["--ro-bind", tree, tree]
    line += ["--perms", "0700", "--size", str(hard_bytes(limits.disk_bytes)), "--tmpfs", BOX]
    line += _inputs(inputs, fds.files)
    return [*line, "--remount-ro", "/dev", "--remount-ro", "/", "--"]


def _within(path: str, places: tuple[str, ...]) -> bool:
    return any(path.startswith(place + "/") for place in places)


def _inputs(inputs: Mapping[str, Path], files: Mapping[str, int]) -> list[str]:
    line = ["--perms", "0755", "--dir", f"{BOX}/{INPUTS}"]
    for name, path in inputs.items():
        place = f"{BOX}/{INPUTS}/{name}"
        if name in files:
            line += ["--perms", "0444", "--ro-bind-data", str(files[name]), place]
        else:
            line += ["--ro-bind", str(path), place]
    return line


def private_files(inputs: Mapping[str, Path]) -> list[str]:
    """Inputs that only their owner may read, which the program will not be: their content is copied instead.

    Raises ``PermissionError`` for a directory of that kind.
    """
    found = []
    for name, path in inputs.items():
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            if status.st_mode & 0o005 != 0o005:
                raise PermissionError(
                    f"input {name!r}: other users may not read {path}, and the program is another user"
                )
        elif not status.st_mode & 0o004:
            found.append(name)
    return found


def version(text: str) -> tuple[int, ...]:
    """``bubblewrap 0.8.0`` as (0, 8, 0)."""
    found = re.search(r"\d+(?:\.\d+)+", text)
    return tuple(int(part) for part in found.group().split(".")) if found else (0,)


def gate_command() -> list[str]:
    """The interpreter of the gate inside: Perl, part of every Debian and Ubuntu, starts in a millisecond or two."""
    perl = next((p for p in ("/usr/bin/perl", "/bin/perl") if os.access(p, os.X_OK)), None)
    if perl is not None:
        return [perl, "-e", (LAUNCHER / "gate.pl").read_text()]
    return python_gate_command()


def python_gate_command() -> list[str]:
    """As ``gate_command``, where there is no Perl."""
    return [sys.executable, "-I", "-S", "-c", (LAUNCHER / "gate.py").read_text()]

"""The last step before the program: is limited, gives up root, is looked at, confines itself, becomes it.

A script of its own, run with ``python -I -S``; nothing of the project can be imported here. Arguments:
see start.py; words: see process.py.
"""

from __future__ import annotations

import ctypes
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing takes long to import
    from typing import NoReturn

NO_NEW_PRIVS, SECCOMP, FILTER = 38, 22, 2
MAX_FILTER = 8 * 4096
MAX_WORD = 256 * 1024


class Program(ctypes.Structure):
    """``struct sock_fprog``."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def fail(gate: int, what: str, error: Exception) -> NoReturn:
    """Tell the runner and end."""
    reason = error.strerror if isinstance(error, OSError) else repr(error)
    os.write(gate, f"E{what}: {reason}\n".encode())
    os._exit(125)


def execute(command: list[str], environment: dict[str, str]) -> NoReturn:
    """Become the program, looked for as a shell would. Raises ``OSError``.

    ``os.execvpe`` would import a module here, which the walls may hide by now.
    """
    name = command[0]
    refused: OSError | None = None
    places = [""] if "/" in name else [f"{place}/" for place in environment.get("PATH", "").split(":")]
    for place in places:
        try:
            os.execve(place + name, command, environment)  # noqa: S606 -- this is what a launcher does
        except PermissionError as error:
            refused = error
        except (FileNotFoundError, NotADirectoryError) as error:
            refused = refused or error
    raise refused or FileNotFoundError(2, "there is no PATH")


def check(result: int) -> None:
    """Raise what a C function reported."""
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def confine(ruleset: int, restrict: int, seccomp: int) -> None:
    """No new rights, then Landlock and seccomp, each when its descriptor is not -1."""
    libc = ctypes.CDLL(None, use_errno=True)
    check(libc.prctl(NO_NEW_PRIVS, 1, 0, 0, 0))
    if ruleset >= 0:
        check(libc.syscall(ctypes.c_long(restrict), ctypes.c_long(ruleset), ctypes.c_long(0)))
    if seccomp >= 0:
        code = os.pread(seccomp, MAX_FILTER, 0)
        program = Program(len(code) // 8, code)
        check(libc.prctl(SECCOMP, FILTER, ctypes.byref(program), 0, 0))


def enter(gate: int, ruleset: int, restrict: int, seccomp: int, uid: int, rest: list[str]) -> NoReturn:
    """``rest``: working directory and command. The variables come with the word ``G``."""
    for fd in (gate, ruleset, seccomp):
        if fd >= 0:
            os.set_inheritable(fd, False)
    directory, command = rest[0], rest[1:]
    what = "giving up root"
    try:
        os.write(gate, b"H")
        if os.read(gate, 1) != b"L":
            os._exit(125)
        if uid >= 0:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
        os.write(gate, b"R")
        word, *variables = os.fsdecode(os.read(gate, MAX_WORD)).split("\0")
        if word != "G":
            os._exit(125)
        environment = dict(pair.split("=", 1) for pair in variables)
        what = "working directory"
        os.chdir(directory)
        what = "landlock and seccomp"
        confine(ruleset, restrict, seccomp)
        what = f"cannot execute {command[0]}"
        execute(command, environment)
    except Exception as error:  # noqa: BLE001 -- whatever went wrong, the runner is told
        fail(gate, what, error)


def main() -> None:
    """Under bubblewrap, which has loaded the seccomp filter already."""
    gate, ruleset, restrict, uid = (int(text) for text in sys.argv[1:5])
    enter(gate, ruleset, restrict, -1, uid, sys.argv[8:])


if __name__ == "__main__":
    main()

"""The words of the sandbox: what is limited, which wall ran and what came of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Literal

import msgspec

Wall = Literal["bwrap", "landlock", "none"]
"""``bwrap``: namespaces, seccomp and Landlock; ``landlock``: Landlock, seccomp and rlimits; ``none``: only limits that
the runner watches over."""

Cause = Literal[
    "exited",
    "signalled",
    "timeout",
    "memory_limit",
    "process_limit",
    "disk_limit",
    "output_limit",
    "cancelled",
    "sandbox_error",
]
Stream = Literal["stdout", "stderr"]
OnOutput = Callable[[Stream, bytes], Awaitable[None]]
"""Is awaited before more is read: a slow reader slows the program down, which its wall clock does not forgive."""

Positive = Annotated[int, msgspec.Meta(gt=0)]
Seconds = Annotated[float, msgspec.Meta(gt=0)]
MIB = 1024**2
RESERVE = 8
"""Processes that the kernel allows beyond the limit, so that the watch sees that the limit was exceeded."""


def hard_bytes(limit: int) -> int:
    """Where the kernel refuses to store more: beyond the limit, so that the watch sees that it was exceeded."""
    return limit + max(limit // 4, 64 * MIB)


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one program may use. Sizes in bytes, times in seconds."""

    wall_s: Seconds = 60.0
    memory_bytes: Positive = 1024 * MIB
    """Of all processes together, without what they write to files."""
    processes: Positive = 64
    """Processes and threads together."""
    disk_bytes: Positive = 256 * MIB
    """In the writable directory, copied-in files included. Under ``bwrap`` it is memory (a tmpfs)."""
    files: Positive = 20_000
    """Files and directories in the writable directory."""
    tmp_bytes: Positive = 64 * MIB
    """In the temporary directory, and again in shared memory."""
    output_bytes: Positive = 16 * MIB
    """Standard output and standard error together."""
    open_files: Positive = 256
    """Of each process."""
    grace_s: Annotated[float, msgspec.Meta(ge=0)] = 0.5
    """Between SIGTERM and SIGKILL after a timeout or a cancellation."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """How a program ended. ``seconds`` is its wall time, ``start_s`` what raising the walls took before it."""

    cause: Cause
    wall: Wall
    code: int | None = None
    """Exit code, when the cause is ``exited``."""
    signal: int | None = None
    """Signal number, when the cause is ``signalled``."""
    detail: str = ""
    seconds: float = 0.0
    start_s: float = 0.0
    peak_memory_bytes: int = 0
    """The most that was seen (of all processes together), sampled every few milliseconds."""
    output_bytes: int = 0
    left_out: tuple[str, ...] = ()
    """Names in the writable directory that were not handed back, with the reason (links, devices, ...)."""

    @property
    def ok(self) -> bool:
        """Whether the program ended by itself with exit code 0."""
        return self.cause == "exited" and self.code == 0


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """Whether one part can be had here; ``detail`` says what it is or what to install or enable."""

    usable: bool
    detail: str


class Walls(msgspec.Struct, frozen=True, kw_only=True):
    """What this machine offers, for the doctor and for the presence of a runner."""

    bwrap: Check
    landlock: Check
    cgroup: Check
    identity: Check
    wall: Wall | None
    """The wall that programs will run behind; None: they are refused, and ``refusal`` says why."""
    refusal: str = ""


class Places(msgspec.Struct, frozen=True, kw_only=True):
    """Where things are for the program inside: its writable directory and the inputs by name."""

    workdir: str
    inputs: dict[str, str]


class SandboxUnavailable(Exception):
    """No wall can be had here; the text names what to install or enable."""

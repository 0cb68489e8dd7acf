"""Starting a program behind a wall: the process outside, the gate inside, and what the runner does between.

The gate is a small script that becomes the program. It says ``H`` when it is inside; the runner sets its limits from
outside and says ``L``. The gate gives up root and says ``R``; the runner looks at it, fills the writable directory,
allows what Landlock shall allow and says ``G`` with the variables. The gate confines itself and executes the program;
``E...`` says why it could not.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import resource
import signal
import socket
from collections.abc import Mapping
from pathlib import Path

import msgspec

from trialbook_runner.sandbox.processes import count_of_user, descendants
from trialbook_runner.sandbox.types import RESERVE, Limits, hard_bytes

START_S = 20.0
MAX_ERROR = 4096
NICE = 5
COUNTS_PER_NAMESPACE = (5, 14)
"""Since this Linux a user namespace counts the processes of its own users."""


class StartError(Exception):
    """The program could not be started; the text says why."""


class Started(msgspec.Struct, kw_only=True):
    """A process that waits at the gate. ``anchor``: its death is the death of everything inside, and ``kill_signal``
    brings that about.
    """

    process: asyncio.subprocess.Process
    gate: socket.socket
    anchor: int
    anchor_fd: int
    program: int
    program_fd: int
    kill_signal: signal.Signals

    def kill(self) -> None:
        """End everything inside, when it is still there."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.anchor_fd, self.kill_signal)

    def ask(self) -> None:
        """SIGTERM to the program."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.program_fd, signal.SIGTERM)


async def spawn(command: list[str], fds: list[int]) -> asyncio.subprocess.Process:
    """Start the outer process with no input, both outputs in pipes, no variables and only these descriptors."""
    return await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={}, cwd="/", pass_fds=fds, start_new_session=True,
    )  # fmt: skip


async def say(gate: socket.socket, word: bytes) -> None:
    """Send a word to the gate. Raises ``StartError`` when nobody is there."""
    try:
        await asyncio.get_running_loop().sock_sendall(gate, word)
    except (BrokenPipeError, ConnectionResetError):
        raise StartError("the process ended before the program started") from None


async def expect(word: bytes, process: asyncio.subprocess.Process, gate: socket.socket) -> None:
    """Wait for a word of the gate. Raises ``StartError`` with what the outer process said instead."""
    expected, word = word, await receive(gate)
    if word == expected:
        return
    if word[:1] == b"E":
        raise StartError(word[1:].decode(errors="replace").strip())
    assert process.stderr is not None, "it is a pipe"
    async with asyncio.timeout(START_S):
        text = await process.stderr.read(MAX_ERROR)
    raise StartError(text.decode(errors="replace").strip() or "the process ended before the program started")


async def receive(gate: socket.socket) -> bytes:
    """The next word of the gate; empty when it has closed. Raises ``StartError`` when it takes too long."""
    try:
        # ``asyncio.wait_for`` would lose a cancellation that meets the word.
        async with asyncio.timeout(START_S):
            return await asyncio.get_running_loop().sock_recv(gate, MAX_ERROR)
    except TimeoutError:
        raise StartError(f"nothing happened for {START_S:g} s") from None
    except ConnectionResetError:
        return b""


def channel() -> tuple[socket.socket, socket.socket]:
    """The runner's end of a gate and the gate's, which keeps words apart."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    return ours, theirs


async def pass_gate(gate: socket.socket, env: Mapping[str, str]) -> None:
    """Let the gate become the program with these variables. Raises ``StartError`` when it cannot."""
    word = "\0".join(["G", *(f"{name}={value}" for name, value in env.items())])
    await say(gate, os.fsencode(word))
    answer = await receive(gate)
    if answer[:1] == b"E":
        raise StartError(answer[1:].decode(errors="replace").strip())


def started(
    process: asyncio.subprocess.Process, gate: socket.socket, anchor: int, kill_signal: signal.Signals,
    closing: contextlib.ExitStack,
) -> Started:  # fmt: skip
    """Take hold of the processes, so that their numbers cannot come to mean others. Raises ``StartError``."""
    program = first_child(anchor)
    handles = []
    for pid in (anchor, program):
        handles.append(os.pidfd_open(pid))
        closing.callback(os.close, handles[-1])
    return Started(
        process=process, gate=gate, anchor=anchor, anchor_fd=handles[0], program=program, program_fd=handles[1],
        kill_signal=kill_signal,
    )  # fmt: skip


def first_child(pid: int) -> int:
    """The only process below another. Raises ``StartError``."""
    found = descendants(pid)
    if not found:
        raise StartError("the program's process is gone")
    return found[0]


def limit(pid: int, limits: Limits, *, namespace: bool, root: bool) -> None:
    """Bind a process, and what it will start, to the limits, while it is still the runner's user. Raises ``OSError``.

    ``namespace``: it has a user namespace, where counts begin at zero; ``root``: its user has no other process.
    """
    counted = 0 if root or (namespace and kernel_version() >= COUNTS_PER_NAMESPACE) else count_of_user(os.geteuid())
    caps = {
        resource.RLIMIT_NPROC: counted + limits.processes + RESERVE,
        resource.RLIMIT_NOFILE: limits.open_files,
        resource.RLIMIT_FSIZE: hard_bytes(limits.disk_bytes),
        # Where the watch or a cgroup ends the program first, with its cause; these hold when they are late.
        resource.RLIMIT_DATA: 2 * limits.memory_bytes,
        resource.RLIMIT_AS: 4 * limits.memory_bytes + (1 << 30),
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
        resource.RLIMIT_RTPRIO: 0,
        resource.RLIMIT_NICE: 0,
        resource.RLIMIT_SIGPENDING: 1024,
    }
    for number, value in caps.items():
        hard = resource.prlimit(pid, number)[1]
        capped = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.prlimit(pid, number, (capped, capped))
    os.setpriority(os.PRIO_PROCESS, pid, max(os.getpriority(os.PRIO_PROCESS, pid), NICE))
    Path(f"/proc/{pid}/oom_score_adj").write_text("1000")


def kernel_version() -> tuple[int, ...]:
    """``6.1.0-18-amd64`` as (6, 1)."""
    return tuple(int(part) for part in re.findall(r"\d+", os.uname().release)[:2])


def verify(pid: int, uid: int, *, seccomp: bool) -> None:
    """Look at the gate from outside before anything foreign runs. Raises ``StartError`` when a wall is missing."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    status = {key: value.split() for key, _, value in (line.partition(":") for line in lines)}
    wrong = []
    if uid >= 0 and (set(status["Uid"]) != {str(uid)} or set(status["Gid"]) != {str(uid)} or status["Groups"]):
        wrong.append("it kept the runner's identity")
    if uid >= 0 or seccomp:
        wrong += [f"it has {name}" for name in ("CapPrm", "CapEff", "CapAmb") if int(status[name][0], 16)]
    if seccomp and status["Seccomp"] != ["2"]:
        wrong.append("it has no seccomp filter")
    if seccomp and status["NoNewPrivs"] != ["1"]:
        wrong.append("it may gain rights")
    if wrong:
        raise StartError("the gate does not stand as it should: " + ", ".join(wrong))


async def gone(started: Started) -> None:
    """Wait until the anchor, and with it everything inside, is dead."""
    loop = asyncio.get_running_loop()
    dead = asyncio.Event()
    loop.add_reader(started.anchor_fd, dead.set)
    try:
        await dead.wait()
    finally:
        loop.remove_reader(started.anchor_fd)


async def abandon(process: asyncio.subprocess.Process, gate: socket.socket) -> None:
    """End a process that never passed its gate: what waits there, or comes there later, ends with the channel.

    It is killed only when that takes too long: bubblewrap's child would wait for a parent that is killed too early.
    """
    gate.close()
    ending = asyncio.create_task(process.communicate())
    await asyncio.wait({ending}, timeout=START_S)
    if not ending.done():
        for pid in (*descendants(process.pid), process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    await ending

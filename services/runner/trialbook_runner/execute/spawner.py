"""The runner's side of the fork server."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import socket
from collections import deque
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import msgspec

from trialbook.errors import Unavailable
from trialbook_runner.execute.shelf import MAX_BYTES, MAX_SHARED
from trialbook_runner.execute.zygote import (
    MAX_MESSAGE,
    Exited,
    Forget,
    Kill,
    Order,
    Share,
    Spawn,
    Started,
    decode_report,
    encode,
)

READ_LIMIT = 1 << 20
MAX_SPARES = 2
SPARE_S = 5.0
"""How long a process waits for an attempt before it is ended: an idle runner keeps none."""
SHARED_S = 300.0


class Child:
    """One attempt's process."""

    def __init__(self, id_: int) -> None:
        loop = asyncio.get_running_loop()
        self.id = id_
        self.started: asyncio.Future[int] = loop.create_future()
        """Its process id."""
        self.exited: asyncio.Future[int] = loop.create_future()
        """Exit code, or the negative number of the signal that ended it."""


class Process(msgspec.Struct, frozen=True):
    """A child and the ends of its socket."""

    child: Child
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


class Spawner:
    """Orders children from the fork server; ``lost``: the server is gone, which a runner does not survive."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._ids = itertools.count(1)
        self._children: dict[int, Child] = {}
        self._sending = asyncio.Lock()
        self._spares: dict[str, deque[Process]] = {}
        """Forked ahead, by the module that is loaded in them; each for one attempt that is still to come."""
        self._ahead = 0
        self._shared: deque[tuple[str, str]] = deque(maxlen=MAX_SHARED)
        """What is on the fork server's shelf."""
        self._tasks: set[asyncio.Task[None]] = set()
        self.lost = asyncio.Event()
        control.setblocking(False)
        asyncio.get_running_loop().add_reader(control.fileno(), self._on_readable)

    async def spawn(self, warm: str = "") -> Process:
        """A fresh child, with the module ``warm`` loaded if possible. Raises ``Unavailable`` when the server is gone.

        When it has ended, another one is forked for whoever comes next: attempts come in rows, and the fork need not
        be waited for.
        """
        process = self._spare(warm) or await self._fork(warm)
        process.child.exited.add_done_callback(lambda _: self._replace(warm))
        return process

    def _spare(self, warm: str) -> Process | None:
        spares = self._spares.get(warm)
        while spares:
            spare = spares.popleft()
            if not spare.child.exited.done():
                return spare
        return None

    def _replace(self, warm: str) -> None:
        if not self.lost.is_set():
            self._later(self._fork_ahead(warm))

    async def _fork_ahead(self, warm: str) -> None:
        spares = self._spares.setdefault(warm, deque(maxlen=MAX_SPARES))
        if len(spares) + self._ahead >= MAX_SPARES:
            return
        self._ahead += 1
        try:
            spare = await self._fork(warm)
        except Unavailable:
            return  # the runner is stopping
        finally:
            self._ahead -= 1
        spares.append(spare)
        asyncio.get_running_loop().call_later(SPARE_S, self._dismiss, spares, spare)

    def _dismiss(self, spares: deque[Process], spare: Process) -> None:
        """A process whose socket ends before it has a job ends as well."""
        if spare in spares:
            spares.remove(spare)
            spare.writer.close()

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _fork(self, warm: str) -> Process:
        if self.lost.is_set():
            raise Unavailable("fork_server_lost", "The fork server has ended; the runner is stopping.")
        ours, theirs = socket.socketpair()
        child = Child(next(self._ids))
        self._children[child.id] = child
        with theirs:
            await self._send(Spawn(child.id, warm), [theirs.fileno()])
        reader, writer = await asyncio.open_unix_connection(sock=ours, limit=READ_LIMIT)
        return Process(child, reader, writer)

    async def share(self, function: str, sha256: str, path: Path) -> None:
        """Let later children find what the function makes of a file, for a while; see ``Shelf``. Large files are left
        out.
        """
        if (function, sha256) in self._shared or self.lost.is_set():
            return
        with path.open("rb") as stream:
            if os.fstat(stream.fileno()).st_size > MAX_BYTES:
                return
            self._shared.append((function, sha256))
            await self._send(Share(function, sha256), [stream.fileno()])
        asyncio.get_running_loop().call_later(SHARED_S, self._forget, function, sha256)

    def _forget(self, function: str, sha256: str) -> None:
        """What was deleted in the meantime does not stay in memory."""
        if (function, sha256) in self._shared and not self.lost.is_set():
            self._shared.remove((function, sha256))
            self._later(self._send(Forget(function, sha256), []))

    async def kill(self, child: Child, number: signal.Signals) -> None:
        """Signal the child's process group, when it still exists."""
        if child.id in self._children and not self.lost.is_set():
            await self._send(Kill(child.id, number), [])

    def close(self) -> None:
        """End the fork server and with it every child."""
        if self._control.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._control.fileno())
            self._control.close()

    async def _send(self, order: Order, descriptors: list[int]) -> None:
        async with self._sending:
            while True:
                try:
                    socket.send_fds(self._control, [encode(order)], descriptors)
                except BlockingIOError:
                    await asyncio.sleep(0.001)
                except OSError:
                    self._gone()
                    return
                else:
                    return

    def _on_readable(self) -> None:
        while True:
            try:
                data = self._control.recv(MAX_MESSAGE)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._gone()
                return
            self._report(data)

    def _report(self, data: bytes) -> None:
        try:
            report = decode_report(data)
        except msgspec.MsgspecError as error:
            raise AssertionError("the fork server is of the same version") from error
        child = self._children[report.id]
        if isinstance(report, Started):
            child.started.set_result(report.pid)
        else:
            assert isinstance(report, Exited), "there are two kinds of reports"
            del self._children[report.id]
            child.exited.set_result(report.status)

    def _gone(self) -> None:
        """The kernel kills the children of a fork server that dies."""
        if self.lost.is_set():
            return
        self.lost.set()
        self.close()
        for child in self._children.values():
            for future in (child.started, child.exited):
                if not future.done():
                    future.set_result(-int(signal.SIGKILL))
        self._children.clear()

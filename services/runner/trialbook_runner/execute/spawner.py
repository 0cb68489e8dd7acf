"""The runner's side of the fork server."""

from __future__ import annotations

import asyncio
import itertools
import signal
import socket

import msgspec

from trialbook.errors import Unavailable
from trialbook_runner.execute.zygote import MAX_MESSAGE, Exited, Kill, Spawn, Started, decode_report, encode

READ_LIMIT = 1 << 20


class Child:
    """One attempt's process."""

    def __init__(self, id_: int) -> None:
        loop = asyncio.get_running_loop()
        self.id = id_
        self.started: asyncio.Future[int] = loop.create_future()
        """Its process id."""
        self.exited: asyncio.Future[int] = loop.create_future()
        """Exit code, or the negative number of the signal that ended it."""


class Spawner:
    """Orders children from the fork server; ``lost``: the server is gone, which a runner does not survive."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._ids = itertools.count(1)
        self._children: dict[int, Child] = {}
        self._sending = asyncio.Lock()
        self.lost = asyncio.Event()
        control.setblocking(False)
        asyncio.get_running_loop().add_reader(control.fileno(), self._on_readable)

    async def spawn(self, warm: str = "") -> tuple[Child, asyncio.StreamReader, asyncio.StreamWriter]:
        """Fork a child, with the module ``warm`` loaded if possible. Raises ``Unavailable`` when the server is gone."""
        if self.lost.is_set():
            raise Unavailable("fork_server_lost", "The fork server has ended; the runner is stopping.")
        ours, theirs = socket.socketpair()
        child = Child(next(self._ids))
        self._children[child.id] = child
        with theirs:
            await self._send(Spawn(child.id, warm), [theirs.fileno()])
        reader, writer = await asyncio.open_unix_connection(sock=ours, limit=READ_LIMIT)
        return child, reader, writer

    async def kill(self, child: Child, number: signal.Signals) -> None:
        """Signal the child's process group, when it still exists."""
        if child.id in self._children and not self.lost.is_set():
            await self._send(Kill(child.id, number), [])

    def close(self) -> None:
        """End the fork server and with it every child."""
        if self._control.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._control.fileno())
            self._control.close()

    async def _send(self, order: Spawn | Kill, descriptors: list[int]) -> None:
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

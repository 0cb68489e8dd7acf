"""The fork server: forked off the runner early, single-threaded, with all workloads loaded.

It forks a child per attempt (about a millisecond), reports ends, and makes orphans impossible: when the runner is
gone its control socket ends, every process group it started is killed, and strays that left their group are adopted
and killed. When it is killed itself, the kernel kills its children.
"""

from __future__ import annotations

import gc
import importlib
import logging
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any, NoReturn

import msgspec

from trialbook_runner.execute import linux
from trialbook_runner.execute.environment import without_threads
from trialbook_runner.execute.shelf import Shelf

log = logging.getLogger(__name__)
MAX_MESSAGE = 4096
PAUSE_S = 0.005


class Spawn(msgspec.Struct, frozen=True, tag="spawn"):
    """Fork a child for the socket that its job will come over; ``warm`` is a module to import here before, once."""

    id: int
    warm: str = ""


class Kill(msgspec.Struct, frozen=True, tag="kill"):
    """Send a signal to a child and its whole process group."""

    id: int
    signal: int


class Share(msgspec.Struct, frozen=True, tag="share"):
    """Make something of the file that comes along, for all later children; ``function`` is ``module:function``."""

    function: str
    sha256: str


class Forget(msgspec.Struct, frozen=True, tag="forget"):
    """The opposite of ``Share``."""

    function: str
    sha256: str


class Started(msgspec.Struct, frozen=True, tag="started"):
    """The child's process id."""

    id: int
    pid: int


class Exited(msgspec.Struct, frozen=True, tag="exited"):
    """``status``: exit code, or the negative number of the signal."""

    id: int
    status: int


Order = Spawn | Kill | Share | Forget
decode_order = msgspec.json.Decoder(Order).decode
decode_report = msgspec.json.Decoder(Started | Exited).decode
encode = msgspec.json.Encoder().encode
ChildMain = Callable[[socket.socket, Shelf], None]


class Zygote:
    """The server's loop. ``child_main`` is called in each fork with its socket; it must not return to the loop."""

    def __init__(self, control: socket.socket, child_main: ChildMain) -> None:
        self._control, self._child_main = control, child_main
        self._pids: dict[int, int] = {}
        self._ids: dict[int, int] = {}
        self._shelf = Shelf()

    def serve(self) -> None:
        """Until the runner's end of the control socket is closed."""
        wake_read, wake_write = socket.socketpair()
        wake_read.setblocking(False)
        wake_write.setblocking(False)
        signal.set_wakeup_fd(wake_write.fileno())
        signal.signal(signal.SIGCHLD, lambda *_: None)
        selector = selectors.DefaultSelector()
        selector.register(self._control, selectors.EVENT_READ)
        selector.register(wake_read, selectors.EVENT_READ)
        inherited = [selector, wake_read, wake_write]
        while True:
            for key, _ in selector.select():
                if key.fileobj is self._control:
                    if not self._order(inherited):
                        self._end()
                        return
                else:
                    wake_read.recv(MAX_MESSAGE)
                    self._reap()

    def _order(self, inherited: list[Any]) -> bool:
        data, descriptors, _, _ = socket.recv_fds(self._control, MAX_MESSAGE, 1)
        if not data:
            return False
        order = decode_order(data)
        if isinstance(order, Spawn):
            if order.warm and order.warm not in sys.modules:
                _warm(order.warm)
            self._fork(order.id, socket.socket(fileno=descriptors[0]), inherited)
        elif isinstance(order, Share):
            with os.fdopen(descriptors[0], "rb") as stream:
                self._share(order, stream.read())
        elif isinstance(order, Forget):
            self._shelf.drop(order.function, order.sha256)
        elif order.id in self._pids:
            _signal_group(self._pids[order.id], order.signal)
        return True

    def _share(self, order: Share, content: bytes) -> None:
        with without_threads():
            self._shelf.put(order.function, order.sha256, content)
        gc.freeze()

    def _fork(self, id_: int, sock: socket.socket, inherited: list[Any]) -> None:
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            _run_child(parent, [self._control, *inherited], lambda: self._child_main(sock, self._shelf))
        sock.close()
        self._pids[id_], self._ids[pid] = pid, id_
        self._report(Started(id_, pid))

    def _report(self, report: Started | Exited) -> None:
        try:
            self._control.send(encode(report))
        except (BrokenPipeError, ConnectionResetError):
            return  # the runner is gone; its end of the socket is read next

    def _reap(self) -> None:
        """Collect the dead: kill what is left of their groups while their ids are still taken, then report."""
        ended = False
        while (dead := _peek()) is not None:
            ended = True  # whoever it is: a stray that was killed leaves us its own children in turn
            _signal_group(dead, signal.SIGKILL)
            _, status = os.waitpid(dead, 0)
            id_ = self._ids.pop(dead, None)
            if id_ is not None:
                del self._pids[id_]
                self._report(Exited(id_, os.waitstatus_to_exitcode(status)))
        if ended:
            self._kill_strays()

    def _kill_strays(self) -> None:
        """Descendants that left their group are our children now: whoever is not one of our forks is killed."""
        for pid in linux.children():
            if pid not in self._ids:
                os.kill(pid, signal.SIGKILL)

    def _end(self) -> None:
        for pid in self._ids:
            _signal_group(pid, signal.SIGKILL)
        while True:
            for pid in linux.children():  # some are left out while others end: look until nobody is there
                os.kill(pid, signal.SIGKILL)
            try:
                ended, _ = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not ended:
                time.sleep(PAUSE_S)


def _warm(module: str) -> None:
    """Import what many children would import each for itself. Without threads of its own, for the sake of the forks."""
    try:
        with without_threads():
            importlib.import_module(module)
    except Exception:  # the attempt meets the same and says so in its verdict
        log.exception("could not load %s ahead of its first use", module)
    finally:
        gc.freeze()


def _peek() -> int | None:
    """A child that has ended and is not collected yet."""
    try:
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    return None if found is None else found.si_pid


def _signal_group(pid: int, number: int) -> None:
    """To the process and its group; before its ``setsid`` the process has no group of its own."""
    for send in (os.kill, os.killpg):
        try:
            send(pid, number)
        except ProcessLookupError:
            continue


def _run_child(parent: int, inherited: list[Any], main: Callable[[], None]) -> NoReturn:
    status = 70
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        linux.die_with_parent(signal.SIGKILL)
        linux.adopt_orphans()
        if os.getppid() == parent:
            for resource in inherited:
                resource.close()
            main()
            status = 0
    finally:
        os._exit(status)


def start_zygote(child_main: ChildMain) -> socket.socket:
    """Fork the server off this process, which must be single-threaded; returns the control socket."""
    threads = linux.threads()
    if threads != 1:
        log.warning("loading the workloads started %d threads; forks may hang when those hold locks", threads - 1)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid:
        theirs.close()
        return ours
    status = 70
    try:
        ours.close()
        os.setsid()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # it ends with its runner, and not before
        linux.adopt_orphans()
        gc.collect()
        gc.freeze()
        Zygote(theirs, child_main).serve()
        status = 0
    finally:
        os._exit(status)

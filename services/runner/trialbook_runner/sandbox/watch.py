"""The watch over a running program: a thread that looks every few milliseconds, whatever the event loop is doing.

The hard walls (tmpfs sizes, rlimits, cgroups) refuse; the watch ends the program that ran into them and names the
cause. It also keeps the wall clock, and it is what holds memory down where there is no cgroup.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from trialbook_runner.sandbox.processes import Processes
from trialbook_runner.sandbox.types import Cause, Limits
from trialbook_runner.sandbox.volumes import Volume

INTERVAL_S = 0.005
TREE_INTERVAL_S = 0.1
GENTLE: frozenset[Cause] = frozenset({"timeout", "cancelled"})
"""Causes that leave the program ``grace_s`` to end by itself."""


class Watch:
    """``ask`` sends SIGTERM to the program, ``kill`` ends it and everything it started; both are safe at any time."""

    def __init__(
        self,
        processes: Processes,
        volumes: Sequence[Volume],
        limits: Limits,
        ask: Callable[[], None],
        kill: Callable[[], None],
    ) -> None:
        self._processes, self._volumes, self._limits = processes, volumes, limits
        self._ask, self._kill = ask, kill
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._kill_at: float | None = None
        self._thread = threading.Thread(target=self._run, name="trialbook-sandbox-watch", daemon=True)
        self.cause: Cause | None = None
        self.detail = ""
        self.peak_bytes = 0
        self.error: OSError | None = None

    def start(self) -> None:
        """Begin; the wall clock starts now."""
        self._deadline = time.monotonic() + self._limits.wall_s
        self._thread.start()

    def stop(self) -> None:
        """The program has ended. Returns when the thread has."""
        self._ended.set()
        self._thread.join()

    def end(self, cause: Cause, detail: str) -> None:
        """End the program. The first cause is the one that is named; may be called from any thread."""
        with self._lock:
            if self.cause is not None or self._ended.is_set():
                return
            self.cause, self.detail = cause, detail
            if cause in GENTLE and self._limits.grace_s > 0:
                self._kill_at = time.monotonic() + self._limits.grace_s
                self._ask()
                return
            self._kill()

    def check_volumes(self) -> None:
        """Compare what is stored with what may be. Also called once after the end."""
        for volume in self._volumes:
            use = volume.use()
            if use.size > volume.max_bytes:
                self._name("disk_limit", f"{volume.name} holds more than {volume.max_bytes} bytes")
            elif use.files > volume.max_files:
                self._name("disk_limit", f"{volume.name} has more than {volume.max_files} files")

    def _name(self, cause: Cause, detail: str) -> None:
        if self._ended.is_set():
            self.cause, self.detail = self.cause or cause, self.detail or detail
        else:
            self.end(cause, detail)

    def _run(self) -> None:
        interval, next_volumes = INTERVAL_S, 0.0
        try:
            while True:
                now = time.monotonic()
                if now >= self._deadline:
                    self.end("timeout", f"the time limit is {self._limits.wall_s:g} s")
                if self._kill_at is not None and now >= self._kill_at:
                    self._kill()
                self._check_processes()
                if now >= next_volumes:
                    self.check_volumes()
                    # Walking a tree takes longer than asking a tmpfs; the watch must not become a load itself.
                    next_volumes = time.monotonic() + min(10 * (time.monotonic() - now), TREE_INTERVAL_S)
                if self._ended.wait(interval):
                    return
        except OSError as error:
            self.error = error
            self._kill()

    def _check_processes(self) -> None:
        sample, limits = self._processes.sample(), self._limits
        if sample.tasks > limits.processes:
            self.end("process_limit", f"more than {limits.processes} processes and threads")
        memory = sample.resident
        if memory > limits.memory_bytes:  # an upper bound; the exact figure costs more
            memory = self._processes.proportional(sample.pids)
        self.peak_bytes = max(self.peak_bytes, memory)
        if memory > limits.memory_bytes:
            self.end("memory_limit", f"the memory limit is {limits.memory_bytes} bytes")

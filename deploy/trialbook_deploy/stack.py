"""A whole stack of its own, for tests and benchmarks: `async with Stack(directory) as stack`."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from trialbook_deploy import nats, services
from trialbook_deploy.child import guarded
from trialbook_deploy.processes import alive
from trialbook_deploy.state import UpState, read_state

LOG_FILE = "stack.log"
STOP_SECONDS = 30.0  # the drain of `trialbook up` and some, on a busy machine
POLL_SECONDS = 0.02


class StackError(RuntimeError):
    """The stack did not do what was asked of it; the text ends with its last output."""


class Stack:
    """`trialbook up` on free ports in processes of their own, as real as in production.

    It ends with the `async with` block, and with this process however that ends. Enter it on the main thread: the
    kernel ends the stack with the thread that started it.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        runners: int = 1,
        env: Mapping[str, str] | None = None,
        nats_url: str | None = None,
        ready_timeout_seconds: float = 60.0,
    ) -> None:
        """`env` is added to the environment of all services; `nats_url` replaces the embedded server."""
        self.data_dir = data_dir.absolute()
        self._runners = runners
        self._env = dict(env or {})
        self._external_nats_url = nats_url
        self._ready_timeout_seconds = ready_timeout_seconds
        self._process: subprocess.Popen[bytes] | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start, and wait until the gateway is ready. Raises StackError. After `stop` it starts on the same data."""
        assert self._process is None, "the stack is already started"
        self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        options = ["--port", "0", "--nats-port", "0", "--runners", str(self._runners), "--no-demo"]
        options += ["--ready-timeout", str(self._ready_timeout_seconds)]
        environment = os.environ | self._env
        environment["TRIALBOOK_DATA_DIR"] = str(self.data_dir)
        environment.pop("TRIALBOOK_NATS_URL", None)
        if self._external_nats_url is not None:
            environment["TRIALBOOK_NATS_URL"] = self._external_nats_url
        with (self.data_dir / LOG_FILE).open("ab") as log:
            self._process = subprocess.Popen(  # noqa: ASYNC220 - it returns at once
                guarded((*services.module("trialbook_deploy"), "up", *options)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )
        try:
            await self.wait_ready(self._ready_timeout_seconds + STOP_SECONDS)
        except BaseException:
            await self.stop()
            raise

    async def stop(self, timeout_seconds: float = STOP_SECONDS) -> None:
        """Stop in order; after `timeout_seconds` kill, and raise StackError."""
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.terminate()
        if not await self._ended(process, timeout_seconds):
            process.kill()
            process.wait()
            raise StackError(f"The stack did not stop within {timeout_seconds} s.\n{self._tail()}")

    async def abandon(self) -> None:
        """Kill the front process with SIGKILL and wait until the stack has cleared itself away."""
        process, self._process = self._process, None
        assert process is not None, "the stack is not started"
        state = self.state
        process.kill()
        process.wait()
        await self._until(lambda: not alive(state.keeper_pid), STOP_SECONDS, "the keeper still runs")

    @property
    def state(self) -> UpState:
        """What runs now. Raises StackError when nothing does."""
        state = read_state(self.data_dir)
        if state is None:
            raise StackError(f"The stack does not run.\n{self._tail()}")
        return state

    @property
    def url(self) -> str:
        """Where the gateway answers."""
        return self.state.url

    @property
    def nats_url(self) -> str:
        """NATS with the services' credentials."""
        return self._external_nats_url or nats.client_url(self.data_dir, self.state.nats_url)

    @property
    def tap_url(self) -> str:
        """NATS as an outside subscriber sees it: without credentials."""
        return f"nats://{nats.without_credentials(self.state.nats_url)}"

    def pid(self, name: str) -> int:
        """Process id of "gateway", "projector", "runner-1", "nats", "front" or "keeper". Raises StackError."""
        state = self.state
        running = state.children | {"front": state.pid, "keeper": state.keeper_pid}
        if name not in running:
            raise StackError(f"{name} does not run now; running: {sorted(running)}.\n{self._tail()}")
        return running[name]

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> int:
        """Signal one process and return its id; a service that ends is started again by the supervisor."""
        pid = self.pid(name)
        os.kill(pid, number)
        return pid

    async def wait_replaced(self, name: str, old_pid: int, timeout_seconds: float = 30.0) -> int:
        """Wait until the supervisor has started `name` again. Returns the new process id."""

        def replaced() -> bool:
            return self.state.children.get(name, old_pid) != old_pid

        await self._until(replaced, timeout_seconds, f"{name} was not started again")
        return self.pid(name)

    async def wait_ready(self, timeout_seconds: float = 15.0) -> None:
        """Wait until `trialbook up` has said that the stack is ready."""

        def ready() -> bool:
            if self._process is None or self._process.poll() is not None:
                raise StackError(f"The stack ended while starting.\n{self._tail()}")
            state = read_state(self.data_dir)
            return state is not None and state.ready

        await self._until(ready, timeout_seconds, "the stack is not ready")

    def logs(self) -> str:
        """Everything that the services and the supervisor have written."""
        return (self.data_dir / LOG_FILE).read_text(errors="replace")

    async def _until(self, condition: Callable[[], bool], timeout_seconds: float, what: str) -> None:
        try:
            async with asyncio.timeout(timeout_seconds):
                while not condition():
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            raise StackError(f"After {timeout_seconds} s {what}.\n{self._tail()}") from None

    async def _ended(self, process: subprocess.Popen[bytes], timeout_seconds: float) -> bool:
        try:
            async with asyncio.timeout(timeout_seconds):
                while process.poll() is None:
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            return False
        return True

    def _tail(self, lines: int = 40) -> str:
        path = self.data_dir / LOG_FILE
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else "(no output)"

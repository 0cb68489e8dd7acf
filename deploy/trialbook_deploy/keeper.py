"""The keeper of `trialbook up`: starts the whole stack, says when it is ready, stops it."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from collections.abc import Coroutine
from contextlib import suppress

from trialbook.sockets import held_port
from trialbook_deploy import front, nats, services
from trialbook_deploy.child import Child
from trialbook_deploy.errors import DeployError
from trialbook_deploy.network import http_status, nats_answers, port_in_use, reachable_host
from trialbook_deploy.output import PrefixedOutput
from trialbook_deploy.state import UpState, remove_state, write_state
from trialbook_deploy.supervise import Supervisor, failure_text
from trialbook_deploy.up import UpOptions

DRAIN_SECONDS = 10.0
ABANDONED_DRAIN_SECONDS = 2.0  # when the front process was killed
POLL_SECONDS = 0.05
NATS_START_ATTEMPTS = 5
NATS_SHARE = 0.5  # of the time until ready, for a server that we did not start
NATS_POLL_SECONDS = 0.25
TOKENS = "TRIALBOOK_API_TOKENS"
DEMO_MODULE = "trialbook_deploy.demo"


class Keeper:
    """One stack from its start to its end."""

    def __init__(self, options: UpOptions, lifeline: int) -> None:
        self._options = options
        self._lifeline = lifeline
        self._front_pid = os.getppid()
        self._stop = asyncio.Event()
        self._now = asyncio.Event()  # a second signal: do not wait for anybody
        self._grace_seconds = DRAIN_SECONDS
        self._ready = False
        self._server: nats.NatsServer | None = None
        self._port = options.port
        self._held: socket.socket | None = None
        names = [f"runner-{number}" for number in range(1, options.runners + 1)]
        self._output = PrefixedOutput(sys.stdout, ["nats", "projector", "gateway", *names])
        self._supervisor = Supervisor(self._output, lifeline, on_change=self._write_state)

    @property
    def url(self) -> str:
        """Where the gateway answers."""
        return f"http://{reachable_host(self._options.host)}:{self._port}"

    async def run(self) -> int:
        """Until a stop signal, the end of the front process, or a failed start. Returns an exit code."""
        self._listen()
        code = 0
        try:
            await self._until_stopped(self._start())
            if not self._stop.is_set() and self._options.demo:
                await self._until_stopped(self._demo())
            await self._stop.wait()
        except DeployError as error:
            self._output.say(f"trialbook: {error}")
            code = 1
        finally:
            await self._end()
        return code

    def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        for number in front.STOP_SIGNALS:
            loop.add_signal_handler(number, self._on_signal)
        front.unblock_stop_signals()
        loop.add_reader(self._lifeline, self._on_front_gone)

    def _on_signal(self) -> None:
        if self._stop.is_set():
            self._now.set()
        else:
            self._output.say("trialbook: stopping (once more to stop at once)")
            self._stop.set()

    def _on_front_gone(self) -> None:
        asyncio.get_running_loop().remove_reader(self._lifeline)
        self._grace_seconds = ABANDONED_DRAIN_SECONDS
        self._stop.set()

    async def _until_stopped(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        stop = asyncio.create_task(self._stop.wait())
        await asyncio.wait([task, stop], return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if not task.done():
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            return
        await task

    async def _start(self) -> None:
        options = self._options
        self._take_port()
        try:
            async with asyncio.timeout(options.ready_timeout_seconds):
                nats_url = await self._found_nats() if options.nats_url else await self._start_nats()
                self._start_services(nats_url)
                await self._wait_ready()
        except TimeoutError:
            _, reason = await http_status(*self._probe)
            failing = ", ".join(self._supervisor.unsettled()) or "none"
            raise DeployError(
                f"The stack is not ready after {options.ready_timeout_seconds:.0f} s. "
                f"Services that do not stay up: {failing}. {self.url}/health/ready says: {reason}"
            ) from None
        self._ready = True
        self._write_state()
        at = nats.without_credentials(nats_url)
        self._output.say(f"Trialbook is ready at {self.url} (NATS {at}, data {options.data_dir}; Ctrl-C stops it)")

    def _take_port(self) -> None:
        """The gateway's: the one that was asked for, or a free one that is kept for it while it starts, also again."""
        host, port = self._options.host, self._options.port
        try:
            if port and port_in_use(host, port):
                raise DeployError(f"Port {port} on {host} is in use. Give another --port, or 0.")
            if not port:
                self._held = held_port(host)
                self._port = self._held.getsockname()[1]
        except OSError as error:
            raise DeployError(f"Cannot listen on {host} port {port}: {error.strerror}.") from error

    async def _found_nats(self) -> str:
        """The server or cluster that was named, once it answers: services that cannot connect only fill the screen."""
        urls = str(self._options.nats_url)
        deadline = asyncio.get_running_loop().time() + self._options.ready_timeout_seconds * NATS_SHARE
        while reason := await nats_answers(urls):
            if asyncio.get_running_loop().time() > deadline:
                at = nats.without_credentials(urls)
                raise DeployError(f"No NATS server answers at {at}: {reason}. Start it, or correct --nats-url.")
            await asyncio.sleep(NATS_POLL_SECONDS)
        return urls

    async def _start_nats(self) -> str:
        """The embedded server, up. A chosen free port may be taken before the server has it: then another is tried."""
        for attempt in range(1, NATS_START_ATTEMPTS + 1):
            self._server = server = nats.configure(
                self._options.data_dir, self._options.nats_port, taps=nats.open_to_all(os.environ.get(TOKENS, ""))
            )
            child = self._supervisor.start(services.nats_spec(server))
            while child.failures == 0:
                if await server.ready():
                    return server.client_url
                await asyncio.sleep(POLL_SECONDS)
            await self._supervisor.remove(child)
            if not (_lost_port(child) and attempt < NATS_START_ATTEMPTS):
                raise DeployError(failure_text(child))
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _start_services(self, nats_url: str) -> None:
        options = self._options
        settings = services.Settings(
            nats_url=nats_url,
            data_dir=options.data_dir,
            host=options.host,
            port=self._port,
            log_level=options.log_level,
        )
        for spec in services.service_specs(settings, options.runners):
            self._supervisor.start(spec)

    @property
    def _probe(self) -> tuple[str, int, str]:
        return reachable_host(self._options.host), self._port, "/health/ready"

    async def _wait_ready(self) -> None:
        while True:
            status, body = await http_status(*self._probe)
            settled = (status == 200 or _damaged(body)) and not self._supervisor.unsettled()
            if settled and _damaged(body):
                self._output.say(f"trialbook: everything but /v1/ledger is refused. {json.loads(body)['why']}")
                return
            if settled and (self._options.runners == 0 or _runners_known(body)):
                return
            self._supervisor.check_starting()
            await asyncio.sleep(POLL_SECONDS)

    async def _demo(self) -> None:
        env = os.environ | {"TRIALBOOK_URL": self.url}
        code = await self._supervisor.run_once("demo", services.module(DEMO_MODULE), env)
        if code != 0:
            self._output.say(f"trialbook: the demonstration ended with exit code {code}; the stack goes on")

    async def _end(self) -> None:
        stopping = asyncio.create_task(self._supervisor.stop(self._grace_seconds))
        now = asyncio.create_task(self._now.wait())
        await asyncio.wait([stopping, now], return_when=asyncio.FIRST_COMPLETED)
        now.cancel()
        if not stopping.done():
            self._supervisor.kill_all()
        await stopping
        remove_state(self._options.data_dir)
        self._output.say("trialbook: stopped")
        self._output.close()

    def _write_state(self) -> None:
        server = self._server
        write_state(
            UpState(
                pid=self._front_pid,
                keeper_pid=os.getpid(),
                url=self.url,
                nats_url=nats.without_password(server.client_url if server else self._options.nats_url or ""),
                nats_monitor_url=server.monitor_url if server else None,
                data_dir=str(self._options.data_dir),
                ready=self._ready,
                children=self._supervisor.pids(),
            )
        )


def _lost_port(child: Child) -> bool:
    return any("address already in use" in line for line in child.recent)


def main() -> int:
    """Keep the stack that the front's environment describes. Returns an exit code."""
    options = UpOptions.from_json(os.environ.pop(front.OPTIONS_VARIABLE))
    lifeline = int(os.environ.pop(front.LIFELINE_VARIABLE))
    return asyncio.run(Keeper(options, lifeline).run())


def _damaged(body: str) -> bool:
    """Whether /health/ready says that the ledger is damaged: the stack is there to be looked into, and refuses."""
    try:
        return bool(json.loads(body)["services"].get("ledger") == "unhealthy")
    except (ValueError, KeyError, TypeError, AttributeError):
        return False


def _runners_known(body: str) -> bool:
    """Whether the gateway has heard of a runner, and so of the workloads; true for a gateway that does not say."""
    try:
        return bool(json.loads(body)["services"]["runners"] == "healthy")
    except (ValueError, KeyError, TypeError):
        return True


if __name__ == "__main__":
    sys.exit(main())

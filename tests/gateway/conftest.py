"""A real nats-server, projector and gateway; the tests themselves play the runner."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import msgspec
import pytest
from nats.aio.client import Client

from tests.gateway.actor import Actor, workload
from trialbook import subjects
from trialbook.log.connect import connect
from trialbook.log.setup import ensure_streams
from trialbook.sockets import held_port
from trialbook.testing.server import NatsServer

START_S = 60.0


class Service:
    """A process of ours that can be killed and started again."""

    def __init__(self, module: str, folder: Path, env: dict[str, str]) -> None:
        self._module, self._log = module, folder / f"{module}.log"
        self._env = {**os.environ, **env}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", self._module], env=self._env, stdout=log, stderr=subprocess.STDOUT
            )

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        assert self._process is not None
        self._process.send_signal(how)
        self._process.wait(60)

    def log(self) -> str:
        return self._log.read_text()


class Site:
    """Where everything runs."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self.nats = NatsServer(folder / "nats").start()
        self._held = held_port()
        self.port = self._held.getsockname()[1]
        common = {"TRIALBOOK_NATS_URL": self.nats.url, "TRIALBOOK_DATA_DIR": str(folder / "data")}
        self.projector = Service("trialbook_projector", folder, common)
        self.gateway = Service("trialbook_gateway", folder, {**common, "TRIALBOOK_PORT": str(self.port), **env})
        self.url = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.projector.start()
        self.gateway.start()
        self.wait_ready()

    def wait_ready(self) -> None:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            try:
                if httpx.get(f"{self.url}/health/ready", timeout=5).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.1)
        raise TimeoutError(self.gateway.log() + self.projector.log())

    def stop(self) -> None:
        self.gateway.stop()
        self.projector.stop()
        self.close()

    def close(self) -> None:
        """The rest, when the services have been stopped."""
        self.nats.kill()
        self._held.close()


ENV = {
    "TRIALBOOK_MAX_UPLOAD_BYTES": "3000000", "TRIALBOOK_MAX_BODY_BYTES": "400000", "TRIALBOOK_LOG_LEVEL": "warning",
    "TRIALBOOK_MAX_UNFINISHED_BYTES": str(64 * 262144), "TRIALBOOK_BODY_IDLE_S": "2", "TRIALBOOK_CORS_ORIGINS": "https://general.example",
    "TRIALBOOK_CORS_ORIGINS_MARKETPLACE": "https://market.example",
}  # fmt: skip


@pytest.fixture(scope="package")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("gateway")
    found = Site(folder, ENV)
    found.start()
    yield found
    found.stop()


@pytest.fixture
async def nc(site: Site) -> AsyncIterator[Client]:
    client = await connect(site.nats.url, name="test")
    await ensure_streams(client)
    yield client
    await client.close()


@pytest.fixture
async def http(site: Site) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=site.url, timeout=20) as client:
        yield client


@pytest.fixture
async def actor(nc: Client, http: httpx.AsyncClient) -> AsyncIterator[Actor]:
    """Announces the workload ``probe`` and can execute its runs by hand."""
    info = workload("probe")
    await nc.publish(subjects.presence("workload", info.name), msgspec.json.encode(info))
    async with asyncio.timeout(START_S):
        while (await http.get("/v1/workloads/probe")).status_code != 200:
            await asyncio.sleep(0.02)
    player = Actor(nc)
    await player.start()
    yield player
    await player.close()

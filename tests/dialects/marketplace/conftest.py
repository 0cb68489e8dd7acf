"""One real stack for the whole folder: nats-server, projector, two runners and the gateway as processes."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.dialects.marketplace.client import PATIENCE_S, Market, write_dataset
from trialbook.ids import UUIDv7Source
from trialbook.sockets import held_port
from trialbook.testing.server import NatsServer

READY_S = 100.0
ANSWER_S = 60.0


class Processes:
    """The services on free ports; ``restart`` kills one with SIGKILL and starts it again."""

    def __init__(self, directory: Path, roots: Path) -> None:
        self.nats = NatsServer(directory / "nats")
        self.directory, self.roots = directory, roots
        self.held = held_port()
        self.port = self.held.getsockname()[1]
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.nats.start()
        for name in ("projector", "runner-1", "runner-2", "gateway"):
            self.start_one(name)
        self.wait_ready()

    def start_one(self, name: str) -> None:
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("TRIALBOOK_", "LLM_", "OPENAI_"))} | {
            "TRIALBOOK_NATS_URL": self.nats.url, "TRIALBOOK_DATA_DIR": str(self.directory / "data" / name),
            "TRIALBOOK_HOST": "127.0.0.1", "TRIALBOOK_PORT": str(self.port), "TRIALBOOK_RUNNER_NAME": name,
            "TRIALBOOK_LEASE_S": "4", "TRIALBOOK_DATASET_ROOTS": str(self.roots), "TRIALBOOK_RUNNER_POOLS": "default=4",
            "TRIALBOOK_ASK_TIMEOUT_S": "30",
        }  # fmt: skip
        (self.directory / "data" / name).mkdir(parents=True, exist_ok=True)
        with (self.directory / f"{name}.log").open("ab") as output:
            module = f"trialbook_{name.partition('-')[0]}"
            self.running[name] = subprocess.Popen(
                [sys.executable, "-P", "-m", module], env=environment, stdout=output, stderr=output
            )

    def wait_ready(self) -> None:
        deadline = time.monotonic() + READY_S
        while True:
            try:
                if httpx.get(f"{self.url}/health", timeout=10).json()["status"] == "healthy":
                    return
            except (httpx.HTTPError, ValueError):
                pass
            if time.monotonic() > deadline:
                raise RuntimeError(self.logs())
            time.sleep(0.05)

    @contextmanager
    def standstill(self) -> Iterator[None]:
        """Runners stand still: what waits is not begun and what runs is not ended, however long the test takes."""
        runners = [process for name, process in self.running.items() if name.startswith("runner")]
        for process in runners:
            process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            for process in runners:
                process.send_signal(signal.SIGCONT)

    def restart(self, name: str) -> None:
        self.running[name].kill()
        self.running[name].wait()
        self.start_one(name)

    def stop(self) -> None:
        for process in self.running.values():
            process.send_signal(signal.SIGTERM)
        for process in self.running.values():
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.nats.kill()
        self.held.close()

    def logs(self) -> str:
        return "\n".join(f"== {p.name}\n{p.read_text()[-3000:]}" for p in sorted(self.directory.glob("*.log")))


@pytest.fixture(scope="session")
def dataset_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configured root with one valid dataset and one of each kind of broken one."""
    root = tmp_path_factory.mktemp("roots")
    write_dataset(root / "tiny_1_2")
    write_dataset(root / "nested" / "inner_1_2")
    (root / "halved" / "customers").mkdir(parents=True)
    for name in ("empty", "data_generation_scripts", ".hidden"):
        (root / name / "customers").mkdir(parents=True)
        (root / name / "businesses").mkdir()
    write_dataset(root / "garbled")
    (root / "garbled" / "customers" / "customer_0001.yaml").write_text("id: [unclosed")
    write_dataset(root / "lacking")
    (root / "lacking" / "businesses" / "business_0002.yaml").write_text("id: business_0002\nname: x\n")
    write_dataset(root / "doubled")
    twin = (root / "doubled" / "businesses" / "business_0001.yaml").read_text()
    (root / "doubled" / "businesses" / "business_0003.yaml").write_text(twin)
    return root


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, dataset_root: Path) -> Iterator[Processes]:
    processes = Processes(tmp_path_factory.mktemp("stack"), dataset_root)
    try:
        processes.start()
        yield processes
    finally:
        processes.stop()


@pytest.fixture
async def market(stack: Processes) -> AsyncIterator[Market]:
    async with httpx.AsyncClient(base_url=stack.url, timeout=ANSWER_S) as http:
        yield Market(http)


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A name of this test's own."""
    words = "".join(c if c.isascii() and c.isalnum() else "_" for c in request.node.originalname)
    return f"e_{words[5:35]}_{UUIDv7Source().new()[-8:]}"


@asynccontextmanager
async def halfway(market: Market, stack: Processes, name: str, **order: Any) -> AsyncIterator[str]:
    """The run of an experiment that has begun and cannot end within the block, for the runners stand still."""
    for _ in range(5):
        await market.launch(name, "mexican_100_300", override=True, **order)
        async with asyncio.timeout(PATIENCE_S):
            while not (await market.get(f"{name}/logs"))["total"]:
                await asyncio.sleep(0.005)
        with stack.standstill():
            run = (await market.get(f"{name}/runs"))[0]
            if run["status"] == "running":
                yield str(run["id"])
                return
    raise AssertionError("it always ended before it could be stopped")


@pytest.fixture(params=["", "/marketplace"], ids=["root", "prefix"])
def mount(request: pytest.FixtureRequest) -> str:
    """Both mounts of the same handlers."""
    return str(request.param)

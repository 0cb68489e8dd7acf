"""The examples follow a workspace while server and examples are killed: in the end they have what the ledger has."""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import nats
import pytest
import pytest_asyncio

from trialbook import subjects
from trialbook.log.tail import Tail
from trialbook.streams import FACTS
from trialbook_deploy.nats_users import Users, reload
from trialbook_deploy.stack import Stack

EXAMPLES = Path(__file__).parents[2] / "examples" / "nats"
WORKSPACE = "main"
ROUNDS = 3
PATIENCE_S = 60.0

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]


@dataclass
class Follower:
    """One example as a process that can be killed and started again."""

    name: str
    command: list[str]
    file: Path
    process: subprocess.Popen[bytes] | None = None
    begun: int = 0
    errors: Path = field(init=False)

    def __post_init__(self) -> None:
        self.errors = self.file.with_suffix(".err")

    def start(self) -> None:
        self.begun = len(self.sequences)
        with self.errors.open("ab") as errors:
            self.process = subprocess.Popen(self.command, stderr=errors, stdout=errors, env=os.environ | ENVIRONMENT)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    @property
    def sequences(self) -> list[int]:
        whole = self.file.read_bytes().rpartition(b"\n")[0] if self.file.exists() else b""
        return [json.loads(line)["sequence"] for line in whole.splitlines()]


ENVIRONMENT = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    async with Stack(tmp_path_factory.mktemp("examples") / "data") as made:
        yield made


@pytest.fixture(scope="module")
def javascript(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the example in JavaScript with the client that its lock file names."""
    copy = tmp_path_factory.mktemp("javascript") / "javascript"
    shutil.copytree(EXAMPLES / "javascript", copy)
    done = subprocess.run(
        ["npm", "ci", "--prefer-offline", "--no-audit", "--no-fund"],
        cwd=copy,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return copy / "subscriber.mjs"


async def followers(stack: Stack, javascript: Path) -> list[Follower]:
    users = Users(stack.data_dir / "nats")
    found = []
    for name, command, arguments in (
        ("anna", [sys.executable, str(EXAMPLES / "python_nats.py")], []),
        ("boris", [sys.executable, str(EXAMPLES / "python_faststream.py")], ["boris"]),
        ("carol", ["node", str(javascript)], []),
    ):
        seed = stack.data_dir.parent / f"{name}.nk"
        seed.write_text(users.add(name, WORKSPACE, read_only=True)[1])
        file = seed.with_suffix(".ndjson")
        found.append(Follower(name, [*command, stack.tap_url, str(seed), *arguments, WORKSPACE, str(file)], file))
    await reload(stack.state)
    return found


async def runs(stack: Stack, stop: asyncio.Event, least: int = 50) -> int:
    """Submit runs, at least so many, until told to stop, whatever the stack answers; the last one's sequence."""
    accepted = number = last = 0
    async with httpx.AsyncClient(base_url=stack.url, timeout=10) as http:
        while not stop.is_set() or accepted < least:
            number += 1
            try:
                reply = await http.post(
                    "/v1/runs", json={"workload": "noop"}, headers={"Idempotency-Key": f"n{number}"}
                )
                if reply.status_code == 201:
                    accepted += 1
                    last = int(reply.headers["Trialbook-Sequence"])
            except httpx.HTTPError:
                continue
            await asyncio.sleep(0.02)
    return last


async def ended(stack: Stack, last: int) -> None:
    """Wait until of the runs up to that sequence none is left that would add facts to the ledger."""
    query: dict[str, Any] = {"status": ["created", "queued", "running"], "limit": 1, "at_least": last}
    async with asyncio.timeout(PATIENCE_S), httpx.AsyncClient(base_url=stack.url, timeout=30) as http:
        while (await http.get("/v1/runs", params=query)).json()["items"]:
            await asyncio.sleep(0.1)


async def following(started: list[Follower]) -> None:
    """Wait until every example hears of what happens now."""
    async with asyncio.timeout(PATIENCE_S):
        while any(len(one.sequences) <= one.begun for one in started):
            await asyncio.sleep(0.1)


async def ledger(stack: Stack) -> list[int]:
    nc = await nats.connect(stack.nats_url)
    found: list[int] = []
    try:
        async with Tail(nc, FACTS, [subjects.facts_in(WORKSPACE)], after=0) as tail:
            while not found or tail.pending:
                found += [message.sequence for message in await tail.next()]
    finally:
        await nc.close()
    return found


async def complete(follower: Follower, expected: list[int]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while len(follower.sequences) < len(expected):
            await asyncio.sleep(0.2)


@pytest.mark.timeout(400)
async def test_the_examples_miss_and_repeat_nothing(stack: Stack, javascript: Path) -> None:
    chance = random.Random(4)
    started = await followers(stack, javascript)
    for one in started:
        one.start()
    stop = asyncio.Event()
    writing = asyncio.create_task(runs(stack, stop))
    try:
        for _ in range(ROUNDS):
            await following(started)
            await asyncio.sleep(chance.uniform(0, 1))
            old = stack.kill("nats", signal.SIGKILL)
            await stack.wait_replaced("nats", old, PATIENCE_S)
            await asyncio.sleep(chance.uniform(0.5, 2.5))
            for one in chance.sample(started, 2):
                one.kill()
            await asyncio.sleep(chance.uniform(0, 1))
            for one in started:
                if one.process is not None and one.process.poll() is not None:
                    one.start()
        stop.set()
        await ended(stack, await writing)
        expected = await ledger(stack)
        for one in started:
            await complete(one, expected)
    finally:
        stop.set()
        for one in started:
            one.kill()
    for one in started:
        assert one.sequences == expected, one.name
    assert "gap: caught up" in started[0].errors.read_text()
    assert "gap: caught up" in started[2].errors.read_text()

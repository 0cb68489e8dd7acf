"""One stack for all tests of this folder, and somebody who plays a runner by hand beside the real one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import httpx
import msgspec
import pytest

from tests.client.standing import standing
from tests.gateway.actor import Actor, workload
from trialbook import subjects
from trialbook.log.connect import connect
from trialbook_deploy.stack import Stack


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with standing(tmp_path_factory.mktemp("stack") / "data") as running:
        yield running


@pytest.fixture
async def http(stack: Stack) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=stack.url, timeout=30) as client:
        yield client


@pytest.fixture
async def actor(stack: Stack, http: httpx.AsyncClient) -> AsyncIterator[Actor]:
    """Announces the workload ``probe`` and can execute its runs by hand."""
    nc = await connect(stack.nats_url, name="test")
    info = workload("probe")
    await nc.publish(subjects.presence("workload", info.name), msgspec.json.encode(info))
    await nc.flush()
    while (await http.get("/v1/workloads/probe")).status_code != 200:
        await asyncio.sleep(0.02)
    player = Actor(nc)
    await player.start()
    yield player
    await player.close()
    await nc.close()


@pytest.fixture
async def room(http: httpx.AsyncClient, actor: Actor) -> str:
    """A workspace of the test's own."""
    name = f"room-{actor.ids.new()[-12:]}"
    assert (await http.post("/v1/workspaces", json={"id": name})).status_code == 201
    return name

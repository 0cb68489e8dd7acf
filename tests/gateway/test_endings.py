"""How live connections end before their run does: by age, by a slow client, by the gateway's own end."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.gateway.actor import Actor, workload
from tests.gateway.conftest import ENV, Site
from trialbook import subjects
from trialbook.log.connect import connect as connect_nats
from trialbook.signals import Log, Logs

pytestmark = pytest.mark.integration
IMPATIENT = {"TRIALBOOK_LIVE_KEEPALIVE_S": "0.5", "TRIALBOOK_LIVE_SEND_TIMEOUT_S": "1"}
PATIENCE_S = 60.0


async def until_closed(socket: ClientConnection) -> tuple[list[Any], int | None]:
    """Everything up to the end, and the code of the close frame."""
    messages = []
    try:
        while True:
            messages.append(json.loads(await asyncio.wait_for(socket.recv(), PATIENCE_S)))
    except ConnectionClosed:
        return messages, socket.close_code


class Scene:
    def __init__(self, site: Site, actor: Actor, http: httpx.AsyncClient) -> None:
        self.site, self.actor, self.http = site, actor, http

    async def run(self) -> str:
        run = str((await self.http.post("/v1/runs", json={"workload": "probe"})).json()["id"])
        await self.actor.claim(run)
        return run

    def address(self, run: str, cursor: str = "") -> str:
        return f"{self.site.url.replace('http', 'ws', 1)}/v1/runs/{run}/ws?cursor={cursor}"


@pytest.fixture
def life_s() -> float:
    """How long a connection lives: in most tests longer than they take on any machine."""
    return 1000.0


@pytest.fixture
async def scene(tmp_path_factory: pytest.TempPathFactory, life_s: float) -> AsyncIterator[Scene]:
    site = Site(tmp_path_factory.mktemp("endings"), {**ENV, **IMPATIENT, "TRIALBOOK_LIVE_LIFE_S": str(life_s)})
    site.start()
    nc = await connect_nats(site.nats.url, name="test")
    actor = Actor(nc)
    await actor.start()
    async with httpx.AsyncClient(base_url=site.url, timeout=60) as http:
        await nc.publish(subjects.presence("workload", "probe"), msgspec.json.encode(workload("probe")))
        while (await http.get("/v1/workloads/probe")).status_code != 200:
            await asyncio.sleep(0.02)
        yield Scene(site, actor, http)
    await actor.close()
    await nc.close()
    site.stop()


@pytest.mark.parametrize("life_s", [2.0])
async def test_an_old_connection_ends_with_a_cursor_that_continues(scene: Scene) -> None:
    run = await scene.run()
    await scene.actor.lines(run, 3)
    async with connect(scene.address(run)) as socket:
        messages, code = await until_closed(socket)
    assert code == 1013
    assert (messages[-1]["type"], messages[-1]["data"]["reason"]) == ("resume", "expired")
    cursor = messages[-1]["cursor"]
    async with connect(scene.address(run, cursor)) as socket:
        messages, code = await until_closed(socket)
    assert [(m["type"], m["cursor"]) for m in messages] == [("resume", cursor)], "nothing happened in this life"
    await scene.actor.lines(run, 2)
    await scene.actor.complete(run)
    rest: list[Any] = []
    while code != 1000:  # what takes longer than a life goes on in the next one
        async with connect(scene.address(run, messages[-1]["cursor"])) as socket:
            messages, code = await until_closed(socket)
        rest += [m for m in messages if m["type"] != "resume"]
    assert [m["type"] for m in rest] == ["log", "log", "fact", "status"]


async def test_a_client_that_takes_nothing_is_closed(scene: Scene) -> None:
    run = await scene.run()
    reader, writer = await asyncio.open_connection("127.0.0.1", scene.site.port, limit=1024)
    writer.write(f"GET /v1/runs/{run}/stream HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    await reader.read(100)
    now = time.time_ns() // 1000
    for _ in range(150):
        records = [Log(now, "info", "x" * 1000, "probe")] * 200
        await scene.actor.emit(run, "log", Logs(1, records))
    text = ""
    async with asyncio.timeout(PATIENCE_S):
        while 'trialbook_live_clients{kind="sse"} 0.0' not in text:
            await asyncio.sleep(0.1)
            text = (await scene.http.get("/metrics")).text
    assert "trialbook_live_slow_clients_total 1.0" in text
    writer.close()


async def test_the_end_of_the_gateway_is_announced(scene: Scene) -> None:
    run = await scene.run()
    async with connect(scene.address(run)) as socket:
        await socket.recv()
        await asyncio.to_thread(scene.site.gateway.stop)  # long before the connection's life is over
        messages, code = await until_closed(socket)
    assert code == 1013
    assert (messages[-1]["type"], messages[-1]["data"]["reason"]) == ("resume", "stopping")
    scene.site.gateway.start()
    scene.site.wait_ready()

"""A stack with two workspaces and their users, seen by an intruder, by a victim and by the services."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import nats
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from trialbook.credentials import connect
from trialbook.log.api import call
from trialbook.log.connect import settled
from trialbook.log.consumers import Consumers
from trialbook.sockets import held_port
from trialbook_deploy import nats as embedded
from trialbook_deploy.nats_users import Users, reload
from trialbook_deploy.stack import Stack

ROOT = Path(__file__).parents[3]
MINE, THEIRS = "lab", "vault"
STREAMS = ("FACTS", "SIGNALS", "BLOBS", "KEYS")
SOON_S = 0.25
"""Who is answered is answered within this time; who is refused hears nothing for so long."""
SURELY_S = 30.0
"""What must come has so much time."""


@dataclass
class Party:
    """A connection, and what the server has complained about to it."""

    nc: Client
    name: str
    complaints: list[str] = field(default_factory=list)

    async def request(
        self, subject: str, body: Any = b"", headers: dict[str, str] | None = None, timeout_s: float = SOON_S
    ) -> bytes | None:
        """The answer, or None when none comes soon."""
        payload = body if isinstance(body, bytes) else msgspec.json.encode(body)
        try:
            return (await self.nc.request(subject, payload, timeout=timeout_s, headers=headers)).data
        except (nats.errors.Error, TimeoutError):
            return None

    async def ask(self, subject: str, body: Any = b"") -> bytes:
        """The answer of whom must answer; empty when nobody does."""
        return await self.request(subject, body, timeout_s=SURELY_S) or b""

    async def send(self, subject: str, body: Any = b"", reply: str = "", headers: dict[str, str] | None = None) -> None:
        """Publish, and give the server and the services time to act on it."""
        payload = body if isinstance(body, bytes) else msgspec.json.encode(body)
        await self.nc.publish(subject, payload, reply=reply, headers=headers)
        await settled(self.nc)
        await asyncio.sleep(0.05)

    @asynccontextmanager
    async def listening(self, subject: str, queue: str = "") -> AsyncIterator[list[Msg]]:
        """What comes on a subject meanwhile, and shortly after."""
        heard: list[Msg] = []

        async def hear(message: Msg) -> None:
            heard.append(message)

        subscription = await self.nc.subscribe(subject, queue=queue, cb=hear)
        await settled(self.nc)
        yield heard
        await asyncio.sleep(0.1)
        await subscription.unsubscribe()


@dataclass
class World:
    """Who is there. ``anonymous`` is None where nobody may connect without a name."""

    stack: Stack
    url: str
    services: Party
    intruder: Party
    victim: Party
    reader: Party
    anonymous: Party | None

    async def ledger(self) -> dict[str, Any]:
        """All that an attack must not change: messages and settings of the streams, the victim's consumer."""
        found: dict[str, Any] = {}
        for name in STREAMS:
            info = await call(self.services.nc, f"STREAM.INFO.{name}")
            state = {key: info["state"][key] for key in ("messages", "first_seq", "last_seq", "bytes")}
            found[name] = {"state": state, "config": info["config"]}
        consumer = await call(self.services.nc, f"CONSUMER.INFO.FACTS.{self.victim.name}@main")
        names = (await call(self.services.nc, "CONSUMER.NAMES.FACTS"))["consumers"] or []
        found["consumer"] = {key: consumer[key] for key in ("config", "delivered", "ack_floor", "num_ack_pending")}
        found["consumers"] = sorted(name for name in names if "@" in name or "evil" in name)
        found["streams"] = sorted((await call(self.services.nc, "STREAM.NAMES"))["streams"])
        return found

    async def fact_of_victim(self) -> None:
        """Something happens in the victim's workspace, and is over."""
        run = (await command(self.victim, THEIRS, "run.submit", {"workload": "noop"}))["result"]["id"]
        async with asyncio.timeout(SURELY_S):
            while b'"status":"completed"' not in await self.victim.ask(f"ask.{THEIRS}.run.get", {"id": run}):
                await asyncio.sleep(0.02)


async def heard_enough(heard: list[Msg], count: int) -> None:
    """Until so many messages have come."""
    async with asyncio.timeout(SURELY_S):
        while len(heard) < count:
            await asyncio.sleep(0.02)


async def command(party: Party, workspace: str, verb: str, body: Any) -> dict[str, Any]:
    """A command that must be answered."""
    reply = await party.nc.request(f"cmd.{workspace}.{verb}", msgspec.json.encode(body), timeout=SURELY_S)
    answer: dict[str, Any] = msgspec.json.decode(reply.data)
    return answer


async def party(client: Any, name: str, *arguments: Any, **options: Any) -> Party:
    """A connection whose complaints are kept."""
    complaints: list[str] = []

    async def complain(error: Exception) -> None:
        complaints.append(str(error))

    nc = await client(*arguments, error_cb=complain, **options)
    return Party(nc, name, complaints)


@asynccontextmanager
async def embedded_world(directory: Path) -> AsyncIterator[World]:
    """The server of `trialbook up`."""
    async with Stack(directory / "data") as stack:
        users = Users(directory / "data" / "nats")
        async with _world(stack, stack.tap_url, users, directory, lambda: reload(stack.state)) as world:
            yield world


@asynccontextmanager
async def sample_world(directory: Path) -> AsyncIterator[World]:
    """A server with the sample of deploy/nats, as a cluster's operator would start it."""
    config, held = directory / "config", held_port()
    port = held.getsockname()[1]
    config.mkdir(parents=True)
    text = (ROOT / "deploy" / "nats" / "nats.conf").read_text()
    text = re.sub(r"^port: .*$", f"port: {port}", text, flags=re.MULTILINE)
    text = re.sub(r"^http: .*$", "", text, flags=re.MULTILINE).replace("/var/lib/nats", str(directory / "store"))
    (config / "nats.conf").write_text(text)
    (config / "users.conf").write_bytes((ROOT / "deploy" / "nats" / "users.conf").read_bytes())
    passwords = {"TRIALBOOK_NATS_PASSWORD": "services-password", "TRIALBOOK_NATS_MONITOR_PASSWORD": "monitor-password"}
    url = f"nats://127.0.0.1:{port}"
    binary = str(embedded.find_binary())
    with (directory / "nats.log").open("wb") as log:
        server = subprocess.Popen([binary, "-c", str(config / "nats.conf")], env=os.environ | passwords, stderr=log)
    try:
        async with Stack(directory / "data", nats_url=f"nats://trialbook:services-password@127.0.0.1:{port}") as stack:

            async def take_up() -> None:
                for number in range(1, 3):
                    subprocess.run([binary, "--signal", f"reload={server.pid}"], check=True, capture_output=True)
                    async with asyncio.timeout(SURELY_S):
                        while (directory / "nats.log").read_text().count("Reloaded server configuration") < number:
                            await asyncio.sleep(0.02)

            async with _world(stack, url, Users(config), directory, take_up) as world:
                yield world
    finally:
        server.kill()
        server.wait()
        held.close()


@asynccontextmanager
async def _world(stack: Stack, url: str, users: Users, directory: Path, take_up: Any) -> AsyncIterator[World]:
    seeds = {
        name: users.add(name, workspace, read_only=name == "reader")[1]
        for name, workspace in (("mallory", MINE), ("victor", THEIRS), ("reader", MINE))
    }
    await take_up()
    parties = []
    for name, seed in seeds.items():
        path = directory / f"{name}.nk"
        path.write_text(seed)
        parties.append(await party(connect, name, url, path))
    services = await party(nats.connect, "services", stack.nats_url)
    try:
        anonymous = await party(nats.connect, "tap", url, max_reconnect_attempts=0, allow_reconnect=False)
    except nats.errors.Error:
        anonymous = None
    mallory, victor, reader = parties
    await _workspaces(stack)
    consumers = Consumers(services.nc, "victor", THEIRS)
    await consumers.create("main", "facts")
    await Consumers(services.nc, "mallory", MINE).create("main", "facts")
    for name, workspace in (("mallory", MINE), ("victor", THEIRS)):
        await services.request(f"cmd.{workspace}.{name}.run.submit", {"workload": "noop"})
    world = World(stack, url, services, mallory, victor, reader, anonymous)
    await _settled(world)
    try:
        yield world
    finally:
        for one in (services, *parties, *([anonymous] if anonymous else [])):
            await one.nc.close()


async def _settled(world: World) -> None:
    """Wait until the runs have ended and nothing is written any more."""
    before: dict[str, Any] = {}
    async with asyncio.timeout(60):
        while before != (before := await world.ledger()):
            await asyncio.sleep(1)


async def _workspaces(stack: Stack) -> None:
    import httpx

    async with httpx.AsyncClient(base_url=stack.url, timeout=SURELY_S) as http:
        for name in (MINE, THEIRS):
            (await http.post("/v1/workspaces", json={"id": name})).raise_for_status()
        theirs = {"Trialbook-Workspace": THEIRS}
        (await http.post("/v1/files?name=secret.txt", content=b"the vault's", headers=theirs)).raise_for_status()

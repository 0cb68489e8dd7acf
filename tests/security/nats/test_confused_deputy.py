"""Why each user has an account of its own: what somebody gains by naming a reply subject, by layout of accounts."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from trialbook.log.connect import settled
from trialbook.sockets import held_port
from trialbook_deploy import nats as embedded

pytestmark = pytest.mark.integration

PERMISSIONS = 'publish {{ allow: "ask.{name}.>" }}, subscribe {{ allow: ["tap.fact.{name}.>", "_INBOX.>"] }}'
USER = f"{{{{ user: {{name}}, password: x, permissions {{{{ {PERMISSIONS} }}}} }}}}"
STREAM = '{{ stream: {{ account: SERVICES, subject: "tap.{tap}" }} }}'
SERVICE = '{{ service: {{ account: SERVICES, subject: "{ask}" }} }}'
IMPORTS = f"[ {STREAM}, {SERVICE} ]"
EXPORTS = '[ { stream: "tap.>" }, { service: "ask.*.>", response: stream } ]'


def configuration(layout: str) -> str:
    """The users mallory and victor, in the services' account, in one for both, or in one each."""
    users = {name: USER.format(name=name) for name in ("mallory", "victor")}
    services = "{ user: services, password: x }"
    if layout == "services":
        return f"SERVICES {{ users: [ {services}, {', '.join(users.values())} ] }}"
    text = f"SERVICES {{ users: [ {services} ], exports: {EXPORTS} }}\n"
    if layout == "one for all":
        imports = IMPORTS.format(tap=">", ask="ask.*.>")
        return f"{text} TAP {{ users: [ {', '.join(users.values())} ], imports: {imports} }}"
    for name, user in users.items():
        imports = IMPORTS.format(tap=f"fact.{name}.>", ask=f"ask.{name}.>")
        text += f"USER_{name} {{ users: [ {user} ], imports: {imports} }}\n"
    return text


@contextmanager
def server(directory: Path, layout: str) -> Iterator[str]:
    held = held_port()
    port = held.getsockname()[1]
    path = directory / "nats.conf"
    path.write_text(f"host: 127.0.0.1\nport: {port}\naccounts {{ {configuration(layout)} }}\n")
    binary = str(embedded.find_binary())
    subprocess.run([binary, "-t", "-c", str(path)], check=True, capture_output=True)
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen([binary, "-c", str(path)], stderr=log)
    try:
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()
        held.close()


@asynccontextmanager
async def connected(address: str, name: str) -> AsyncIterator[Client]:
    async with asyncio.timeout(60):
        while (nc := await opened(f"nats://{name}:x@{address}")) is None:
            await asyncio.sleep(0.05)
    yield nc
    await nc.close()


async def opened(url: str) -> Client | None:
    try:
        return await nats.connect(url, allow_reconnect=False)
    except (OSError, nats.errors.Error):  # it is starting
        return None


async def told(services: Client, found: list[str], subject: str) -> list[str]:
    """What was heard before something that the services say now, behind everything that they have said before."""
    await services.publish(subject)
    async with asyncio.timeout(60):
        while subject not in found:
            await asyncio.sleep(0.01)
    return [one for one in found if one != subject]


async def heard(nc: Client, subject: str) -> list[str]:
    found: list[str] = []

    async def hear(message: Msg) -> None:
        found.append(message.subject)

    await nc.subscribe(subject, cb=hear)
    await settled(nc)
    return found


@pytest.mark.parametrize(
    ("layout", "ledger", "others"),
    [("services", True, True), ("one for all", False, True), ("one each", False, False)],
)
async def test_what_a_reply_subject_reaches(tmp_path: Path, layout: str, ledger: bool, others: bool) -> None:
    answered: list[str] = []

    async def answer(message: Msg) -> None:
        await message.respond(b"an answer")
        answered.append(message.reply)

    with server(tmp_path, layout) as address:
        async with (
            connected(address, "services") as services,
            connected(address, "mallory") as mallory,
            connected(address, "victor") as victor,
        ):
            await services.subscribe("ask.*.>", cb=answer)
            facts, taps = await heard(services, "fact.>"), await heard(victor, "tap.fact.victor.>")
            assert (await mallory.request("ask.mallory.run.list", timeout=60)).data == b"an answer"
            await mallory.publish("ask.mallory.run.list", reply="fact.victor.run.e.completed")
            await mallory.publish("ask.mallory.run.list", reply="tap.fact.victor.run.e.completed")
            async with asyncio.timeout(60):
                while len(answered) < 3:
                    await asyncio.sleep(0.01)
            stored = await told(services, facts, "fact.victor.the.end")
            seen = await told(services, taps, "tap.fact.victor.the.end")
            assert (bool(stored), bool(seen)) == (ledger, others)

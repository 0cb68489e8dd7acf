import asyncio
import json
import socket
import subprocess
from pathlib import Path

import pytest
from nats.aio.client import Client

from trialbook.clock import SystemClock
from trialbook.domain.run import RunSpec
from trialbook.domain.run import commands as c
from trialbook.envelope import AggregateId, Metadata
from trialbook.errors import Unavailable
from trialbook.handle import Handler, Loaded
from trialbook.ids import UUIDv7Source
from trialbook.log.api import call
from trialbook.log.connect import close, connect
from trialbook.log.nats import NatsEventLog
from trialbook.log.setup import ensure_streams
from trialbook.testing.server import NatsServer, find_nats_server
from trialbook_runner.facts import AttemptFacts

META = Metadata(source="test")


async def test_nobody_there_is_said_in_time() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and nobody else can listen there
        async with asyncio.timeout(60):  # it would try for ever
            with pytest.raises(Unavailable) as caught:
                await connect(f"nats://user:secret@127.0.0.1:{nobody.getsockname()[1]}", name="test", wait_s=1.0)
    assert caught.value.code == "nats_unreachable"
    assert "secret" not in caught.value.detail


@pytest.mark.integration
async def test_a_server_that_refuses_the_password_is_not_said_to_be_silent(tmp_path: Path) -> None:
    config = tmp_path / "nats.conf"
    config.write_text('authorization { user: "u", password: "right" }\n')
    command = [find_nats_server(), "-c", str(config), "-a", "127.0.0.1", "-p", "-1", "--ports_file_dir", str(tmp_path)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as server:
        try:
            async with asyncio.timeout(60):
                while not (found := [*tmp_path.glob("*.ports")]) or not found[0].read_text():
                    await asyncio.sleep(0.02)
                at = json.loads(found[0].read_text())["nats"][0].removeprefix("nats://")
                with pytest.raises(Unavailable, match=f"NATS at nats://{at} refuses us") as caught:
                    await connect(f"nats://u:wrong@{at}", name="test", wait_s=5.0)
        finally:
            server.kill()
    assert "wrong" not in caught.value.detail


@pytest.mark.integration
async def test_a_server_that_starts_late_is_waited_for(tmp_path: Path) -> None:
    server = NatsServer(tmp_path)
    connecting = asyncio.create_task(connect(server.url, name="test", wait_s=60))
    await asyncio.sleep(0.5)
    await asyncio.to_thread(server.start)
    await close(await connecting)
    server.kill()


@pytest.mark.integration
async def test_what_an_operator_changed_stays(nc: Client) -> None:
    config = (await call(nc, "STREAM.INFO.SIGNALS"))["config"]
    day = 24 * 3600 * 10**9
    await call(nc, "STREAM.UPDATE.SIGNALS", config | {"max_age": day})
    await ensure_streams(nc)
    assert (await call(nc, "STREAM.INFO.SIGNALS"))["config"]["max_age"] == day


@pytest.mark.integration
async def test_a_run_that_never_stops_talking_can_be_stopped(nc: Client) -> None:
    log = NatsEventLog(nc)
    await log.start()
    ids = UUIDv7Source()
    handler = Handler(log, SystemClock(), ids)
    run = AggregateId("main", "run", ids.new())
    await handler.handle(run, c.Create(spec=RunSpec(workload="w"), ticket="t"), META)
    owner = await handler.handle(run, c.Claim(ticket="t", runner="r"), META)
    facts = AttemptFacts(handler, run, owner.state.attempt, META, Loaded(owner.state, owner.sequence))
    done = asyncio.Event()

    async def talk() -> None:
        while not done.is_set():
            await facts.append(c.Checkpoint(attempt=owner.state.attempt, data=1))

    talking = asyncio.create_task(talk())
    while (await log.last_sequence()) < owner.sequence + 20:
        await asyncio.sleep(0.01)
    for command in (c.RequestPause(), c.RequestResume(ticket="t2"), c.RequestCancel()):
        await handler.handle(run, command, META)
    done.set()
    await talking
    assert (await handler.load(run)).state.cancel_requested
    await log.close()

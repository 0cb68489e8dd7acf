"""The embedded nats-server's configuration, tried on a real server."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import stat
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import httpx
import nats
import pytest
from nats.aio.client import Client
from nats.errors import TimeoutError as NoAnswer

from trialbook.log.connect import settled
from trialbook_deploy import nats as embedded
from trialbook_deploy.errors import DeployError

pytestmark = pytest.mark.integration


@contextmanager
def running(server: embedded.NatsServer) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(server.argv, stderr=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


async def until_ready(server: embedded.NatsServer) -> None:
    async with asyncio.timeout(30):
        while not await server.ready():
            await asyncio.sleep(0.02)


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[tuple[Client, list[str]]]:
    """A client and what the server has complained about to it."""
    complaints: list[str] = []

    async def complain(error: Exception) -> None:
        complaints.append(str(error))

    client = await nats.connect(url, error_cb=complain, max_reconnect_attempts=1)
    try:
        yield client, complaints
    finally:
        await client.close()


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[embedded.NatsServer]:
    configured = embedded.configure(tmp_path, 0)
    with running(configured):
        await until_ready(configured)
        yield configured


async def test_a_server_is_not_asked_for_its_health_before_it_can_tell(tmp_path: Path) -> None:
    server = embedded.configure(tmp_path, 0)
    with running(server):
        await until_ready(server)
        async with connected(server.client_url) as (client, _):
            for number in range(20):
                await client.jetstream().add_stream(name=f"KEPT{number}", subjects=[f"kept{number}"])
    again = embedded.configure(tmp_path, 0)
    with running(again) as process:
        await until_ready(again)
        process.terminate()
        assert process.stderr is not None
        assert b"Healthcheck failed" not in process.stderr.read()


async def test_acknowledged_means_on_disk(server: embedded.NatsServer) -> None:
    async with httpx.AsyncClient() as http:
        config = (await http.get(f"{server.monitor_url}/jsz?config=1")).json()["config"]
        general = (await http.get(f"{server.monitor_url}/varz")).json()
    assert config["sync_always"] is True
    assert general["max_payload"] == 8 * 1024 * 1024
    assert general["host"] == "127.0.0.1"
    assert general["feature_flags"]["js_ack_fc_v2"] is False


async def test_the_bound_of_a_stream_may_exceed_the_disk(server: embedded.NatsServer) -> None:
    async with connected(server.client_url) as (client, _):
        created = await client.jetstream().add_stream(name="LARGE", subjects=["large"], max_bytes=2**49)
        assert created.config.max_bytes == 2**49


async def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    server = embedded.configure(tmp_path, 0)
    with running(server):
        await until_ready(server)
        async with connected(server.client_url) as (client, _):
            await client.jetstream().add_stream(name="KEPT", subjects=["kept"])
            for number in range(20):
                await client.jetstream().publish("kept", str(number).encode())
    again = embedded.configure(tmp_path, 0)
    with running(again):
        await until_ready(again)
        async with connected(again.client_url) as (client, _):
            assert (await client.jetstream().stream_info("KEPT")).state.messages == 20


async def test_a_stranger_hears_the_taps(server: embedded.NatsServer) -> None:
    async with (
        connected(server.client_url) as (services, _),
        connected(f"nats://127.0.0.1:{server.port}") as (stranger, complaints),
    ):
        taps = await stranger.subscribe("tap.fact.>")
        await settled(stranger)
        await services.publish("tap.fact.w.run.1.created", b"news")
        assert (await taps.next_msg(timeout=20)).data == b"news"
        assert complaints == []


@pytest.mark.parametrize("subject", ["fact.>", "signal.>", "ask.>", ">", "_INBOX.>", "$JS.>", "$SYS.>"])
async def test_a_stranger_hears_nothing_else(server: embedded.NatsServer, subject: str) -> None:
    async with connected(f"nats://127.0.0.1:{server.port}") as (stranger, complaints):
        await stranger.subscribe(subject)
        await settled(stranger)
        assert any("permissions violation" in text.lower() for text in complaints)


@pytest.mark.parametrize(
    "subject", ["fact.w.run.1.created", "tap.fact.w", "cmd.w.x", "ask.w.x", "$JS.API.INFO", "$JS.API.STREAM.LIST", "a"]
)
async def test_a_stranger_can_say_nothing(server: embedded.NatsServer, subject: str) -> None:
    async with (
        connected(server.client_url) as (services, _),
        connected(f"nats://127.0.0.1:{server.port}") as (stranger, complaints),
    ):
        heard = await services.subscribe("*" if subject == "a" else f"{subject.split('.', maxsplit=1)[0]}.>")
        await settled(services)
        await stranger.publish(subject, b"{}", reply="tap.answer")
        await settled(stranger)
        with pytest.raises(NoAnswer):
            await heard.next_msg(timeout=0.2)
        assert any("permissions violation" in text.lower() for text in complaints)


async def test_the_monitoring_user_may_look_and_nothing_more(server: embedded.NatsServer) -> None:
    password = (server.directory / "system-password").read_text()
    async with connected(f"nats://monitor:{password}@127.0.0.1:{server.port}") as (monitor, complaints):
        figures = json.loads((await monitor.request("$SYS.REQ.SERVER.PING.VARZ", b"", timeout=20)).data)
        assert figures["data"]["system_account"] == "SYS"
        assert complaints == []
        for subject in (
            f"$SYS.REQ.SERVER.{figures['server']['id']}.RELOAD",
            "$SYS.REQ.ACCOUNT.SERVICES.CONNZ",
            "$JS.API.INFO",
        ):
            with pytest.raises(NoAnswer):
                await monitor.request(subject, b"", timeout=0.2)
        await monitor.subscribe("$SYS.>")
        await settled(monitor)
        assert len(complaints) == 4


async def test_only_the_services_have_streams(server: embedded.NatsServer) -> None:
    async with httpx.AsyncClient() as http:
        accounts = (await http.get(f"{server.monitor_url}/jsz?accounts=1")).json()["account_details"]
    assert [account["name"] for account in accounts] == ["SERVICES"]


def test_tokens_that_are_limited_close_the_taps() -> None:
    assert [
        embedded.open_to_all(text) for text in ("", "a:secret-one", "a:secret-one,b:secret-two", "a:secret-one:")
    ] == [True] * 4
    assert not embedded.open_to_all("a:secret-one,b:secret-two:lab|main")


@pytest.mark.parametrize("user", ["", "tap:tap@"])
async def test_closed_taps_are_closed_to_everybody(tmp_path: Path, user: str) -> None:
    server = embedded.configure(tmp_path, 0, taps=False)
    with running(server):
        await until_ready(server)
        async with connected(server.client_url) as (services, _):
            assert services.is_connected
        with pytest.raises(nats.errors.NoServersError):
            async with connected(f"nats://{user}127.0.0.1:{server.port}"):
                pass


def test_a_wrong_password_is_no_stranger(server: embedded.NatsServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as plain, plain.makefile("rwb") as stream:
        assert stream.readline().startswith(b"INFO")
        stream.write(b'CONNECT {"user": "trialbook", "pass": "wrong", "verbose": false}\r\nPING\r\n')
        stream.flush()
        assert stream.readline() == b"-ERR 'Authorization Violation'\r\n"


def test_secrets_are_for_the_owner_only_and_stay(tmp_path: Path) -> None:
    first = embedded.configure(tmp_path, 0)
    second = embedded.configure(tmp_path, 0)
    assert first.password == second.password
    assert len(first.password) >= 40
    for name in ("nats/password", "nats/nats.conf"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "nats").stat().st_mode) == 0o700


def test_a_port_in_use_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(DeployError, match=f"Port {port} on 127.0.0.1 is in use"):
            embedded.configure(tmp_path, port)


async def test_a_store_that_cannot_be_recovered_is_reported(tmp_path: Path) -> None:
    server = embedded.configure(tmp_path, 0)
    with running(server) as process:
        await until_ready(server)
        async with connected(server.client_url) as (client, _):
            await client.jetstream().add_stream(name="KEPT", subjects=["kept"])
        os.kill(process.pid, signal.SIGKILL)
    (meta,) = (tmp_path / "nats" / "store").rglob("meta.inf")
    meta.write_text(json.dumps({"name": "KEPT"}))
    again = embedded.configure(tmp_path, 0)
    with running(again), pytest.raises(DeployError, match=r"cannot recover its store in .*KEPT"):
        await until_ready(again)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("nats://trialbook:pw@127.0.0.1:4222", "nats://trialbook@127.0.0.1:4222"),
        ("nats://token@h:1", "nats://h:1"),
        ("nats://a:b@h1:1, tls://h2:2", "nats://a@h1:1,tls://h2:2"),
        ("h:4222", "nats://h:4222"),
    ],
)
def test_passwords_and_tokens_are_not_shown(url: str, shown: str) -> None:
    assert embedded.without_password(url) == shown


def test_credentials_are_added_only_to_our_own_server(tmp_path: Path) -> None:
    assert embedded.client_url(tmp_path, "nats://trialbook@127.0.0.1:1") == "nats://trialbook@127.0.0.1:1"
    server = embedded.configure(tmp_path, 0)
    shown = embedded.without_password(server.client_url)
    assert server.password not in shown
    assert embedded.client_url(tmp_path, shown) == server.client_url
    assert embedded.client_url(tmp_path, "nats://other@h:1") == "nats://other@h:1"

"""`trialbook up` as a whole, with a real nats-server and stand-in services."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import nats
import pytest

from tests.deploy.conftest import Marked, write_service
from trialbook.sockets import held_port
from trialbook_deploy.stack import Stack, StackError
from trialbook_deploy.state import read_state

pytestmark = pytest.mark.integration
PATIENCE_S = 30.0
DEAF = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("hears nothing", flush=True)
while True: signal.pause()
"""


def up(data_dir: Path, env: dict[str, str], *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "trialbook_deploy", "up", "--port", "0", "--data-dir", str(data_dir), *options]
    return subprocess.run(command, env=os.environ | env, capture_output=True, text=True, timeout=100)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.05)


async def until_gone(marked: Marked) -> None:
    await until(lambda: marked.pids() == {})


async def until_told(stack: Stack, text: str) -> None:
    await until(lambda: text in stack.logs())


async def until_asleep(marked: Marked, runners: int) -> set[int]:
    """Both sleepers of every stand-in for a runner; the stack is ready before they are."""
    await until(lambda: len(sleepers(marked)) == 2 * runners)
    return sleepers(marked)


def sleepers(marked: Marked) -> set[int]:
    return {pid for pid, line in marked.pids().items() if line.startswith("sleep 300")}


async def test_a_stack_is_ready_says_so_and_describes_itself(tmp_path: Path, services: dict[str, str]) -> None:
    async with Stack(tmp_path / "data", runners=2, env=services) as stack:
        state = stack.state
        assert state.ready
        assert set(state.children) == {"nats", "projector", "runner-1", "runner-2", "gateway"}
        assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
        told = httpx.get(f"{stack.url}/health/ready").json()
        assert told["TRIALBOOK_NATS_URL"] == stack.nats_url
        assert told["TRIALBOOK_DATA_DIR"] == str(stack.data_dir)
        password = (stack.data_dir / "nats" / "password").read_text()
        assert password not in (stack.data_dir / "up.json").read_text()
        await until_told(stack, f"Trialbook is ready at {stack.url} ")
        await until_told(stack, "runner-2  | runner-2 is up")
        command_lines = [Path(f"/proc/{pid}/cmdline").read_text() for pid in state.children.values()]
        assert not any(password in line for line in command_lines)
    assert read_state(tmp_path / "data") is None
    assert not (tmp_path / "data" / "up.json").exists()


async def test_stopping_drains_in_order(tmp_path: Path, services: dict[str, str], marked: Marked) -> None:
    async with Stack(tmp_path / "data", env=services) as stack:
        await until_told(stack, "runner-1 is up")
        await until_told(stack, "projector waits")
        await stack.stop()
        said = [line for line in stack.logs().splitlines() if line.endswith(" drains")]
        assert [line.split()[0] for line in said] == ["gateway", "runner-1", "projector"]
        assert stack.logs().rstrip().endswith("trialbook: stopped")
        assert marked.pids() == {}


async def test_a_service_that_ignores_sigterm_is_killed_within_ten_seconds(
    tmp_path: Path, services: dict[str, str], marked: Marked
) -> None:
    write_service(Path(services["PYTHONPATH"]), "projector", DEAF)
    async with Stack(tmp_path / "data", env=services) as stack:
        await until_told(stack, "hears nothing")
        started = time.monotonic()
        await stack.stop()
        assert time.monotonic() - started > 5, "it had its time"
        assert "projector did not end in time and is killed" in stack.logs()


async def test_kill_9_of_up_leaves_nothing_behind(tmp_path: Path, services: dict[str, str], marked: Marked) -> None:
    async with Stack(tmp_path / "data", runners=2, env=services) as stack:
        await until_asleep(marked, 2)
        await stack.abandon()
        await until_gone(marked)
        assert not (tmp_path / "data" / "up.json").exists()


async def test_kill_9_of_the_keeper_leaves_nothing_behind(
    tmp_path: Path, services: dict[str, str], marked: Marked
) -> None:
    async with Stack(tmp_path / "data", runners=2, env=services) as stack:
        await until_asleep(marked, 2)
        stack.kill("keeper")
        await until_gone(marked)


async def test_kill_9_of_both_at_once_ends_the_services(
    tmp_path: Path, services: dict[str, str], marked: Marked
) -> None:
    async with Stack(tmp_path / "data", runners=0, env=services) as stack:
        front, keeper = stack.pid("front"), stack.pid("keeper")
        os.kill(front, signal.SIGSTOP)
        os.kill(keeper, signal.SIGKILL)
        os.kill(front, signal.SIGKILL)
        await until_gone(marked)


async def test_a_killed_runner_comes_back_and_its_leftovers_do_not_stay(
    tmp_path: Path, services: dict[str, str], marked: Marked
) -> None:
    async with Stack(tmp_path / "data", runners=2, env=services) as stack:
        other = stack.pid("runner-2")
        leftovers = await until_asleep(marked, 2)
        old = stack.kill("runner-1")
        await stack.wait_replaced("runner-1", old)
        left = leftovers & set(marked.pids())
        assert len(left) == 2, "exactly those of the other runner live on"
        assert stack.pid("runner-2") == other


@pytest.mark.parametrize("name", ["nats", "gateway", "projector"])
async def test_each_service_is_started_again_where_it_was(tmp_path: Path, services: dict[str, str], name: str) -> None:
    async with Stack(tmp_path / "data", env=services) as stack:
        before = stack.state
        old = stack.kill(name)
        assert await stack.wait_replaced(name, old) != old
        assert (stack.state.url, stack.state.nats_url) == (before.url, before.nats_url)
        await until_told(stack, f"{name} was ended by SIGKILL")


async def test_two_stacks_cannot_share_a_data_directory(tmp_path: Path, services: dict[str, str]) -> None:
    async with Stack(tmp_path / "data", env=services) as stack:
        second = up(tmp_path / "data", services)
        assert second.returncode == 1
        assert f"in use by another `trialbook up` (process {stack.pid('front')} at {stack.url})" in second.stderr


def test_a_service_that_never_comes_up_ends_the_start_with_its_last_lines(
    tmp_path: Path, services: dict[str, str], marked: Marked
) -> None:
    write_service(Path(services["PYTHONPATH"]), "projector", "raise SystemExit('the disk is on fire')")
    ended = up(tmp_path / "data", services)
    assert ended.returncode == 1
    assert re.search(r"projector ended with exit code 1, \d times in a row", ended.stdout)
    assert "the disk is on fire" in ended.stdout
    assert not (tmp_path / "data" / "up.json").exists()


def test_a_stack_that_is_not_ready_in_time_says_what_the_gateway_says(
    tmp_path: Path, services: dict[str, str], marked: Marked
) -> None:
    write_service(Path(services["PYTHONPATH"]), "gateway", "import time; time.sleep(60)")
    ended = up(tmp_path / "data", services, "--ready-timeout", "1.5")
    assert ended.returncode == 1
    assert "The stack is not ready after 2 s." in ended.stdout
    assert "ConnectionRefusedError" in ended.stdout


def test_a_port_in_use_is_named(tmp_path: Path, services: dict[str, str], marked: Marked) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert (
            f"Port {port} on 127.0.0.1 is in use. Give another --port"
            in up(tmp_path / "a", services, "--port", port).stdout
        )
        assert (
            f"Port {port} on 127.0.0.1 is in use, nats-server"
            in up(tmp_path / "b", services, "--nats-port", port).stdout
        )


def test_an_open_door_is_refused_without_tokens(tmp_path: Path, services: dict[str, str], marked: Marked) -> None:
    refused = up(tmp_path / "data", services, "--host", "0.0.0.0")
    assert refused.returncode == 1
    assert "Set TRIALBOOK_API_TOKENS" in refused.stderr
    assert not (tmp_path / "data").exists()


async def test_tokens_reach_the_gateway_and_nobody_else(
    tmp_path: Path, services: dict[str, str], marked: Marked
) -> None:
    async with Stack(tmp_path / "data", env=services | {"TRIALBOOK_API_TOKENS": "secret"}) as stack:
        assert httpx.get(f"{stack.url}/health/ready").json()["TRIALBOOK_API_TOKENS"] == "secret"
        for name in ("projector", "runner-1", "nats"):
            assert b"TRIALBOOK_API_TOKENS" not in Path(f"/proc/{stack.pid(name)}/environ").read_bytes()


async def test_an_existing_server_is_used_instead(tmp_path: Path, services: dict[str, str]) -> None:
    async with (
        Stack(tmp_path / "one", env=services) as one,
        Stack(tmp_path / "two", env=services, nats_url=one.nats_url) as two,
    ):
        assert "nats" not in two.state.children
        assert httpx.get(f"{two.url}/health/ready").json()["TRIALBOOK_NATS_URL"] == one.nats_url
        assert json.loads((two.data_dir / "up.json").read_text())["nats_url"] == one.state.nats_url


def test_a_server_that_does_not_answer_is_named_before_anything_starts(
    tmp_path: Path, services: dict[str, str], marked: Marked
) -> None:
    with held_port() as held:
        url = f"nats://user:secret@127.0.0.1:{held.getsockname()[1]}"
        ended = up(tmp_path / "data", services, "--nats-url", url, "--ready-timeout", "2")
    assert ended.returncode == 1
    assert f"No NATS server answers at {url.rpartition('@')[2]}" in ended.stdout
    assert "secret" not in ended.stdout
    assert "is up" not in ended.stdout
    assert marked.pids() == {}


async def test_a_stack_keeps_its_data_over_a_restart(tmp_path: Path, services: dict[str, str]) -> None:
    async with Stack(tmp_path / "data", env=services) as stack:
        password = (stack.data_dir / "nats" / "password").read_text()
        with pytest.raises(StackError, match="nobody does not run now"):
            stack.pid("nobody")
        await stack.stop()
        await stack.start()
        assert (stack.data_dir / "nats" / "password").read_text() == password
        assert stack.state.ready


async def test_a_second_signal_stops_at_once(tmp_path: Path, services: dict[str, str], marked: Marked) -> None:
    write_service(Path(services["PYTHONPATH"]), "projector", DEAF)
    async with Stack(tmp_path / "data", env=services) as stack:
        await until_told(stack, "hears nothing")
        stack.kill("front", signal.SIGINT)
        await until_told(stack, "once more to stop at once")
        assert any("trialbook_projector" in line for line in marked.pids().values())
        stack.kill("front", signal.SIGINT)
        await until_gone(marked)
        assert "did not end in time" not in stack.logs()


async def test_a_store_that_cannot_be_recovered_ends_the_start(tmp_path: Path, services: dict[str, str]) -> None:
    async with Stack(tmp_path / "data", env=services) as stack:
        client = await nats.connect(stack.nats_url)
        await client.jetstream().add_stream(name="KEPT", subjects=["kept"])
        await client.close()
    (meta,) = (tmp_path / "data" / "nats" / "store").rglob("meta.inf")
    meta.write_text("{}")
    ended = up(tmp_path / "data", services)
    assert ended.returncode == 1
    assert "nats-server cannot recover its store" in ended.stdout
    assert "KEPT" in ended.stdout


def test_a_nats_server_that_cannot_start_ends_the_start(tmp_path: Path, services: dict[str, str]) -> None:
    (tmp_path / "data" / "nats").mkdir(parents=True)
    (tmp_path / "data" / "nats" / "store").write_text("a file")
    ended = up(tmp_path / "data", services)
    assert ended.returncode == 1
    assert "storage directory is not a directory" in ended.stdout


def test_a_program_beside_the_stack_is_run_to_its_end(tmp_path: Path, services: dict[str, str]) -> None:
    source = (
        "import asyncio, io, os, sys\n"
        "from trialbook_deploy.output import PrefixedOutput\n"
        "from trialbook_deploy.supervise import Supervisor\n"
        "async def main():\n"
        "    supervisor = Supervisor(PrefixedOutput(sys.stderr, []), os.pipe()[0])\n"
        "    program = (sys.executable, '-c', 'import os; print(os.environ[\"SAYS\"]); raise SystemExit(7)')\n"
        "    print(await supervisor.run_once('one', program, os.environ | {'SAYS': 'hello'}), supervisor.pids())\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run([sys.executable, "-u", "-c", source], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "hello\n7 {}\n"

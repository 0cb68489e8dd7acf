"""`trialbook nats user`: its files, its command line, and what the server of a running stack makes of it."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import msgspec
import nats.errors
import pytest
import pytest_asyncio
from typer.testing import CliRunner, Result

from tests.docs.pages import blocks
from trialbook.credentials import NkeyClient, connect
from trialbook.nkeys import user_of
from trialbook.testing.server import NatsServer
from trialbook_deploy.cli import build
from trialbook_deploy.doctor.accounts import accounts
from trialbook_deploy.errors import DeployError
from trialbook_deploy.nats_users import Users
from trialbook_deploy.stack import Stack


def trialbook(*arguments: str) -> Result:
    return CliRunner().invoke(build(("nats", "doctor")), ["nats", "user", *arguments])


def test_a_seed_is_written_once_and_kept_nowhere_else(tmp_path: Path) -> None:
    out = tmp_path / "alice.nk"
    done = trialbook("add", "alice", "--workspace", "lab", "--out", str(out), "--config-dir", str(tmp_path))
    assert done.exit_code == 0, done.output
    assert "--signal reload" in done.stderr
    seed = out.read_text().strip()
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    for name in ("users.json", "users.conf"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
        text = (tmp_path / name).read_text()
        assert seed not in text
        assert user_of(seed).public in text
    again = trialbook("add", "bob", "--workspace", "lab", "--out", str(out), "--config-dir", str(tmp_path))
    assert isinstance(again.exception, DeployError)
    assert [user.name for user in Users(tmp_path).all()] == ["alice"]


def test_without_a_file_the_seed_is_all_of_standard_output(tmp_path: Path) -> None:
    done = trialbook("add", "alice", "--workspace", "lab", "--config-dir", str(tmp_path))
    assert user_of(done.stdout).public == Users(tmp_path).get("alice").public_key
    rotated = trialbook("rotate", "alice", "--config-dir", str(tmp_path))
    assert user_of(rotated.stdout).public == Users(tmp_path).get("alice").public_key != user_of(done.stdout).public


def test_a_seed_that_cannot_be_written_is_said_to_be_lost(tmp_path: Path) -> None:
    out = tmp_path / "no" / "such"
    done = trialbook("add", "alice", "--workspace", "lab", "--out", str(out), "--config-dir", str(tmp_path))
    assert isinstance(done.exception, DeployError)
    assert "rotate alice" in str(done.exception)


def test_users_added_at_the_same_time_are_all_kept(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: Users(tmp_path).add(f"u{number}", "lab", read_only=False), range(24)))
    assert len(Users(tmp_path).all()) == 24
    assert (tmp_path / "users.conf").read_text().count("nkey:") == 24


def test_users_are_listed_and_removed(tmp_path: Path) -> None:
    trialbook("add", "bob", "--workspace", "lab", "--read-only", "--config-dir", str(tmp_path))
    trialbook("add", "alice", "--workspace", "main", "--config-dir", str(tmp_path))
    listed = json.loads(trialbook("list", "--json", "--config-dir", str(tmp_path)).stdout)
    assert [(user["name"], user["workspace"], user["read_only"]) for user in listed] == [
        ("alice", "main", False),
        ("bob", "lab", True),
    ]
    assert "bob" in trialbook("list", "--config-dir", str(tmp_path)).stdout
    assert trialbook("remove", "bob", "--config-dir", str(tmp_path)).exit_code == 0
    assert isinstance(trialbook("remove", "bob", "--config-dir", str(tmp_path)).exception, DeployError)
    assert "USER_bob" not in (tmp_path / "users.conf").read_text()


@pytest.mark.parametrize(
    ("name", "workspace"), [("Al", "lab"), ("a b", "lab"), ("a@main", "lab"), ("a", "_"), ("a", "*")]
)
def test_names_that_would_be_configuration_are_refused(tmp_path: Path, name: str, workspace: str) -> None:
    done = trialbook("add", name, "--workspace", workspace, "--config-dir", str(tmp_path))
    assert done.exit_code == 2
    assert Users(tmp_path).all() == []


def test_a_record_that_was_tampered_with_does_not_become_configuration(tmp_path: Path) -> None:
    users = Users(tmp_path)
    users.add("alice", "lab", read_only=False)
    record = json.loads((tmp_path / "users.json").read_text())
    for member, text in (("public_key", 'X" } ] } SYS { users: ['), ("workspace", '>" } #'), ("name", "a }")):
        (tmp_path / "users.json").write_text(json.dumps([record[0] | {member: text}]))
        with pytest.raises(DeployError, match="damaged"):
            users.write_accounts()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    async with Stack(tmp_path_factory.mktemp("users") / "data") as made:
        yield made


def on(stack: Stack, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "trialbook_deploy", "nats", "user", *arguments, "--data-dir"]
    return subprocess.run([*command, str(stack.data_dir)], capture_output=True, text=True, timeout=60)


@pytest.mark.integration
@pytest.mark.asyncio(loop_scope="module")
async def test_a_running_stack_takes_users_up_and_closes_them_out(stack: Stack) -> None:
    seed = stack.data_dir.parent / "dora.nk"
    added = on(stack, "add", "dora", "--workspace", "main", "--out", str(seed), "--catch-up")
    assert added.returncode == 0, added.stderr
    assert "consumer dora@main of facts" in added.stderr
    closed = asyncio.Event()

    async def on_close() -> None:
        closed.set()

    dora = await connect(stack.tap_url, seed, closed_cb=on_close, allow_reconnect=False)
    asked = await dora.request("ask.main.run.list", b"{}", timeout=20)
    assert b'"items"' in asked.data
    js = dora.jetstream(prefix="js")
    pulled = await js.pull_subscribe("fact.main.>", durable="dora@main", stream="FACTS")
    [first] = await pulled.fetch(1, timeout=20)
    assert msgspec.json.decode(first.data)["type"] == "workspace.created.v1"
    await first.ack_sync()
    assert on(stack, "add", "emil", "--workspace", "main").returncode == 0
    await dora.flush()
    assert dora.is_connected, "another user's account is none of its business"
    assert on(stack, "rotate", "dora", "--out", str(seed.with_suffix(".new"))).returncode == 0
    await asyncio.wait_for(closed.wait(), 30)
    closed.clear()
    await connect(stack.tap_url, seed.with_suffix(".new"), closed_cb=on_close, allow_reconnect=False)
    assert on(stack, "remove", "dora").returncode == 0
    await asyncio.wait_for(closed.wait(), 30)
    with pytest.raises(nats.errors.Error):
        await NkeyClient().connect(stack.tap_url, nkeys_seed=str(seed), allow_reconnect=False)
    names = await stack_consumers(stack)
    assert "dora@main" not in names


async def stack_consumers(stack: Stack) -> list[str]:
    nc = await nats.connect(stack.nats_url)
    try:
        found = await nc.request("$JS.API.CONSUMER.NAMES.FACTS", b"", timeout=20)
        return [str(name) for name in msgspec.json.decode(found.data)["consumers"]]
    finally:
        await nc.close()


@pytest.mark.integration
@pytest.mark.asyncio(loop_scope="module")
async def test_the_doctor_tells_who_is_apart_from_whom(stack: Stack, tmp_path: Path) -> None:
    nc = await nats.connect(stack.nats_url)
    try:
        found = await accounts(nc, stack.state.nats_monitor_url)
    finally:
        await nc.close()
    assert found.level == "ok"
    assert found.text.startswith("the services are in SERVICES; users from outside: ")
    assert "hears the taps of all workspaces" in found.text
    server = NatsServer(tmp_path / "plain").start()
    plain = await nats.connect(server.url)
    try:
        assert (await accounts(plain, None)).level == "warn"
    finally:
        await plain.close()
        server.kill()


@pytest.mark.integration
@pytest.mark.asyncio(loop_scope="module")
async def test_the_five_minutes_of_the_documentation(stack: Stack) -> None:
    [block] = [block for block in blocks() if block.page == "nats.md" and "await tap.next_msg" in block.code]
    directory = stack.data_dir.parent / "five"
    directory.mkdir()
    added = on(stack, "add", "alice", "-w", "main", "--catch-up", "--out", str(directory / "alice.nk"))
    assert added.returncode == 0, added.stderr
    (directory / "hello.py").write_text(block.code.replace("nats://127.0.0.1:4222", stack.tap_url))
    done = subprocess.run(
        [sys.executable, "hello.py"], cwd=directory, capture_output=True, text=True, timeout=60, env=path_environment()
    )
    assert done.returncode == 0, done.stderr
    assert '"actor":"nats:alice"' in done.stdout
    assert "fact.main.run." in done.stdout


@pytest.mark.integration
@pytest.mark.asyncio(loop_scope="module")
async def test_the_example_of_a_dataset(stack: Stack, tmp_path: Path) -> None:
    seed, table = tmp_path / "rosa.nk", tmp_path / "prices.csv"
    assert on(stack, "add", "rosa", "-w", "main", "--out", str(seed)).returncode == 0
    table.write_bytes(b"day,price\n" + b"1,2.5\n" * 300_000)
    example = Path(__file__).parents[2] / "examples" / "nats" / "python_dataset.py"
    command = [sys.executable, str(example), stack.tap_url, str(seed), "main", "prices", str(table)]
    for content in (table.read_bytes(), table.read_bytes(), b"day,price\n"):
        table.write_bytes(content)
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=path_environment())
        assert done.returncode == 0, done.stderr
        number = 1 if len(content) > 100 else 2
        assert f"prices has version {number}: prices.csv, {len(content)} bytes" in done.stdout


def path_environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


@pytest.mark.integration
@pytest.mark.asyncio(loop_scope="module")
async def test_a_workspace_that_does_not_exist_is_said_so(stack: Stack) -> None:
    refused = on(stack, "add", "nina", "--workspace", "nowhere")
    assert refused.returncode == 1
    assert "There is no workspace 'nowhere' yet" in refused.stderr
    assert "--allow-missing" in refused.stderr
    assert refused.stdout == ""
    assert "nina" not in on(stack, "list").stdout
    assert on(stack, "add", "nina", "--workspace", "nowhere", "--allow-missing").returncode == 0
    async with httpx.AsyncClient(base_url=stack.url, timeout=20) as http:
        (await http.post("/v1/workspaces", json={"id": "brief"})).raise_for_status()
        assert on(stack, "add", "otto", "--workspace", "brief").returncode == 0
        (await http.delete("/v1/workspaces/brief")).raise_for_status()
    deleted = on(stack, "add", "paul", "--workspace", "brief")
    assert (deleted.returncode, "was deleted" in deleted.stderr) == (1, True)


def test_a_server_that_is_named_is_asked_and_one_that_is_silent_does_not_agree(tmp_path: Path) -> None:
    arguments = (
        "add",
        "alice",
        "--workspace",
        "lab",
        "--config-dir",
        str(tmp_path),
        "--nats-url",
        "nats://127.0.0.1:1",
    )
    done = trialbook(*arguments)
    assert isinstance(done.exception, DeployError)
    assert "No NATS server answers" in str(done.exception)
    assert trialbook(*arguments, "--allow-missing").exit_code == 0
    unchecked = trialbook("add", "bob", "--workspace", "lab", "--config-dir", str(tmp_path))
    assert "not checked" in unchecked.stderr

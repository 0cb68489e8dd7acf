"""The data directory: default place, permissions, lock, state file; and the network questions."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from pathlib import Path

import pytest

from trialbook.sockets import held_port
from trialbook_deploy import network
from trialbook_deploy.errors import DeployError
from trialbook_deploy.state import (
    UpState,
    default_data_dir,
    lock_data_dir,
    prepare_data_dir,
    read_state,
    remove_state,
    write_state,
)


def state_of(data_dir: Path, pid: int) -> UpState:
    return UpState(pid, pid, "http://h:1", "nats://h:2", None, str(data_dir), True, {"gateway": 7})


def test_the_default_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TRIALBOOK_DATA_DIR", "/a")
    assert default_data_dir() == Path("/a")
    monkeypatch.delenv("TRIALBOOK_DATA_DIR")
    monkeypatch.setenv("XDG_DATA_HOME", "/b")
    assert default_data_dir() == Path("/b/trialbook")
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_data_dir() == tmp_path / ".local/share/trialbook"


def test_the_directory_is_for_its_owner(tmp_path: Path) -> None:
    made = prepare_data_dir(tmp_path / "x" / "y")
    assert made.is_absolute()
    assert stat.S_IMODE(made.stat().st_mode) == 0o700


def test_a_file_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DeployError, match="Cannot use"):
        prepare_data_dir(tmp_path / "file")


def test_state_is_written_read_and_removed(tmp_path: Path) -> None:
    assert read_state(tmp_path) is None
    state = state_of(tmp_path, os.getpid())
    write_state(state)
    assert read_state(tmp_path) == state
    remove_state(tmp_path)
    remove_state(tmp_path)
    assert read_state(tmp_path) is None


def test_the_state_of_a_dead_process_is_none(tmp_path: Path) -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    write_state(state_of(tmp_path, pid))
    assert read_state(tmp_path) is None


@pytest.mark.parametrize("text", ["", "{}", "[]", "{"])
def test_a_damaged_state_is_said_to_be(tmp_path: Path, text: str) -> None:
    (tmp_path / "up.json").write_text(text)
    with pytest.raises(DeployError, match="damaged"):
        read_state(tmp_path)


def test_a_directory_that_cannot_be_written_to_is_said_to_be(tmp_path: Path) -> None:
    (tmp_path / "up.lock").mkdir()  # root may write everywhere, but not this
    with pytest.raises(DeployError, match="Cannot write to the data directory"):
        lock_data_dir(tmp_path)


def test_a_directory_is_held_once(tmp_path: Path) -> None:
    handle = lock_data_dir(tmp_path)
    with pytest.raises(DeployError, match="in use by another"):
        lock_data_dir(tmp_path)
    os.close(handle)
    os.close(lock_data_dir(tmp_path))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback(host: str) -> None:
    assert network.is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.org", "", "127.0.0.1.example.org"])
def test_not_loopback(host: str) -> None:
    assert not network.is_loopback(host)


@pytest.mark.parametrize(
    ("bound", "reached"), [("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("::1", "[::1]"), ("10.1.1.1", "10.1.1.1")]
)
def test_reachable_host(bound: str, reached: str) -> None:
    assert network.reachable_host(bound) == reached


def test_ports() -> None:
    with held_port() as held:
        assert not network.port_in_use(*held.getsockname())
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert network.port_in_use("127.0.0.1", taken.getsockname()[1])
    with pytest.raises(OSError, match="assign"):
        network.port_in_use("192.0.2.1", 1234)


async def test_status_of_nobody_and_of_nonsense() -> None:
    with held_port() as held:
        status, reason = await network.http_status("127.0.0.1", held.getsockname()[1], "/")
    assert (status, reason.partition(":")[0]) == (0, "ConnectionRefusedError")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        status, reason = await network.http_status("127.0.0.1", silent.getsockname()[1], "/", timeout_seconds=0.1)
        assert (status, reason.partition(":")[0]) == (0, "TimeoutError")


async def test_whether_a_nats_server_answers() -> None:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"INFO {}\r\n")
        writer.close()

    async def mumble(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400\r\n")
        writer.close()

    there = await asyncio.start_server(greet, "127.0.0.1", 0)
    other = await asyncio.start_server(mumble, "127.0.0.1", 0)
    port, wrong = (one.sockets[0].getsockname()[1] for one in (there, other))
    assert await network.nats_answers(f"nats://u:p@127.0.0.1:{port}") == ""
    with held_port() as held:
        nobody = f"nats://127.0.0.1:{held.getsockname()[1]}"
        assert await network.nats_answers(f"{nobody}, 127.0.0.1:{port}") == ""
        assert "Errno 111" in await network.nats_answers(nobody)
    assert "no NATS server" in await network.nats_answers(f"nats://127.0.0.1:{wrong}")
    there.close()
    other.close()

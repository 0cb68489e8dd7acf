"""The public hostile set: every attempt is contained, the verdict names the cause, the node goes on."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from tests.security.sandbox.conftest import HOSTILE, MIB, SMALL, Ran

pytestmark = pytest.mark.integration
Hostile = Callable[..., Awaitable[Ran]]


@pytest.fixture(autouse=True)
def nobody_is_left() -> Iterator[None]:
    """After every test no process of this machine runs under an identity of a sandbox or out of its directory."""
    yield
    left = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                command = (entry / "cmdline").read_bytes()
                owner = entry.stat().st_uid
            except OSError:
                continue
            if b"program.py" in command or (owner >= 0x70000000 and b"bwrap" not in command):
                left.append((entry.name, command))
    assert not left


@pytest.mark.parametrize("name", ["fork_bomb.py", "thread_bomb.py"])
async def test_process_bombs(hostile: Hostile, name: str) -> None:
    ran = await hostile(name)
    assert ran.verdict.cause == "process_limit", ran


@pytest.mark.parametrize("name", ["memory_bomb.py", "memory_family.py", "memory_shared.py"])
async def test_memory_bombs(hostile: Hostile, name: str) -> None:
    ran = await hostile(name)
    assert ran.verdict.cause == "memory_limit", ran
    assert not ran.escapes
    assert 100 * MIB < ran.verdict.peak_memory_bytes < 3 * SMALL.memory_bytes


@pytest.mark.parametrize("name", ["disk_big.py", "disk_many.py", "disk_unlinked.py"])
async def test_disk_fillers(hostile: Hostile, name: str) -> None:
    ran = await hostile(name)
    assert ran.verdict.cause == "disk_limit", ran
    assert not ran.escapes


async def test_large_in_name_only(hostile: Hostile, wall: str) -> None:
    ran = await hostile("disk_sparse.py")
    stored = sum(path.stat().st_blocks * 512 for path in ran.workdir.iterdir())
    assert stored <= 81 * MIB
    assert ran.verdict.cause == ("disk_limit" if wall == "bwrap" else "exited"), ran


@pytest.mark.parametrize("what", ["big", "many"])
@pytest.mark.parametrize("where", ["/tmp", "/dev/shm"])
async def test_temporary_directories(hostile: Hostile, wall: str, where: str, what: str) -> None:
    ran = await hostile("disk_tmp.py", where, what)
    assert not ran.escapes
    if wall == "bwrap":
        assert ran.verdict.cause == "disk_limit", ran
    else:
        assert "Permission denied" in ran.stderr


async def test_writes_elsewhere(hostile: Hostile, place: Path) -> None:
    secret, other = place / "secret.txt", place / "other"
    secret.write_text("an input")
    secret.chmod(0o666)
    other.mkdir()
    other.chmod(0o777)
    ran = await hostile("elsewhere.py", str(other), inputs={"secret.txt": secret})
    assert ran.verdict.ok, ran
    assert not ran.escapes
    assert secret.read_text() == "an input"


async def test_flood(hostile: Hostile) -> None:
    ran = await hostile("flood.py")
    assert ran.verdict.cause == "output_limit", ran
    assert ran.verdict.output_bytes == len(ran.stdout) == SMALL.output_bytes
    assert not ran.escapes


async def test_network(hostile: Hostile, place: Path) -> None:
    abstract = f"trialbook-test-{os.getpid()}-{time.monotonic_ns()}"
    tcp = socket.create_server(("127.0.0.1", 0))
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", 0))
    path, named = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
    path.bind(str(place / "socket"))
    (place / "socket").chmod(0o777)
    named.bind("\0" + abstract)
    listeners = [tcp, udp, path, named]
    try:
        for listener in listeners:
            listener.setblocking(False)
        for listener in (path, named):
            listener.listen()
        ports = [str(listener.getsockname()[1]) for listener in (tcp, udp)]
        ran = await hostile("network.py", *ports, str(place / "socket"), abstract)
        assert ran.verdict.ok, ran
        assert not ran.escapes
        for listener in (tcp, path, named):
            with pytest.raises(BlockingIOError):
                listener.accept()
        with pytest.raises(BlockingIOError):
            udp.recv(1)
    finally:
        for listener in listeners:
            listener.close()


async def test_snooping(hostile: Hostile, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    word = "canary-0b7e5f"
    monkeypatch.setenv("TRIALBOOK_SECRET", word)
    other = place / "other"
    other.mkdir()
    (other / "data.txt").write_text(word)
    held = os.open(other / "data.txt", os.O_RDONLY)
    os.set_inheritable(held, True)
    ran = await hostile("snoop.py", word[::-1], str(os.getpid()), str(other / "data.txt"))
    os.close(held)
    assert ran.verdict.ok, ran
    assert not ran.escapes
    assert word not in ran.stdout


async def test_traps_for_the_collector(hostile: Hostile, place: Path, wall: str) -> None:
    secret = place / "secret.txt"
    secret.write_text("canary")
    ran = await hostile("links.py", str(secret), inputs={"secret.txt": secret})
    assert ran.verdict.ok, ran
    assert not ran.escapes
    assert (ran.workdir / "honest.txt").read_text() == "honest"
    if wall == "bwrap":
        found = [path for path in ran.workdir.rglob("*") if not path.is_dir() or path.is_symlink()]
        assert sorted(os.fsencode(path.name) for path in found) == [b"honest.txt", b"name-\xff.txt", b"program.py"]
        reasons = "\n".join(ran.verdict.left_out)
        for name in ("result.txt: a link", "outside: a link", "pipe.txt: a pipe", "deeper than"):
            assert name in reasons
        msgspec.json.encode(ran.verdict)


async def test_ignored_signals(hostile: Hostile) -> None:
    ran = await hostile("stubborn.py", limits=msgspec.structs.replace(SMALL, wall_s=0.7))
    assert ran.verdict.cause == "timeout", ran
    assert ran.verdict.seconds >= 0.7
    assert not ran.escapes


async def test_cancelling_the_stubborn(run: Callable[..., Awaitable[Ran]]) -> None:
    cancel = asyncio.Event()
    asyncio.get_running_loop().call_later(0.5, cancel.set)
    ran = await run(["/bin/sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"], cancel=cancel)
    assert ran.verdict.cause == "cancelled", ran


async def test_nothing_is_written_after_the_end(hostile: Hostile) -> None:
    ran = await hostile("survivor.py")
    assert ran.verdict.ok, ran
    written = (ran.workdir / "written.txt").read_bytes()
    assert written
    await asyncio.sleep(0.5)
    assert (ran.workdir / "written.txt").read_bytes() == written
    assert not ran.escapes


@pytest.mark.parametrize("name", ["trace.py", "namespaces.py", "privileges.py", "calls.py"])
async def test_rights(hostile: Hostile, name: str) -> None:
    ran = await hostile(name, str(os.getpid()))
    assert ran.verdict.ok, ran
    assert not ran.escapes
    assert "held" in ran.stdout


async def test_the_table_of_32_bit_programs(hostile: Hostile) -> None:
    ran = await hostile("old_table.py")
    assert not ran.escapes
    assert (ran.verdict.cause, ran.verdict.signal) == ("signalled", 31) or os.uname().machine != "x86_64", ran


async def test_stopping_the_first_process(hostile: Hostile) -> None:
    ran = await hostile("stop_init.py", limits=msgspec.structs.replace(SMALL, wall_s=0.7))
    assert ran.verdict.cause == "timeout", ran
    assert not ran.escapes


async def test_two_bombs_do_not_disturb_an_honest_program(run: Callable[..., Awaitable[Ran]], python: str) -> None:
    bombs = [
        run([python, "-c", (HOSTILE / name).read_text()]) for name in ("fork_bomb.py", "memory_bomb.py")
    ]  # fmt: skip
    honest = run([python, "-c", "import time; time.sleep(1); print('done')"])
    first, second, third = await asyncio.gather(*bombs, honest)
    assert first.verdict.cause == "process_limit"
    assert second.verdict.cause == "memory_limit"
    assert third.verdict.ok
    assert third.stdout == "done\n"
    assert threading.active_count() < 20

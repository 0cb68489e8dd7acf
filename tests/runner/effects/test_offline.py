"""A replay has no network: what tries to reach one is refused, and the report names it."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.runner.conftest import Ledger
from tests.runner.effects.test_effects import replay

TRY = """
import socket, subprocess, sys
from trialbook_runner.execute import offline
offline.{build}()
socket.socketpair()
socket.socket(socket.AF_UNIX).close()
for family in (socket.AF_INET, socket.AF_INET6):
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.connect(("127.0.0.1" if family == socket.AF_INET else "::1", int(sys.argv[1])))
    except OSError as error:
        print(type(error).__name__, error.errno)
    else:
        print("open")
"""


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """Of a server on this machine that takes every connection."""

    async def take(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    async with server:
        yield int(server.sockets[0].getsockname()[1])


@pytest.mark.integration
@pytest.mark.parametrize("how", ["plain", "caught", "program"])
async def test_a_replay_reaches_nothing_and_says_what_it_wanted(
    ledger: Ledger,
    start: Any,
    port: int,
    how: str,
) -> None:
    await start()
    run = await ledger.submit("networker", {"port": port, "how": how})
    state = await ledger.end(run)
    assert state.result == ("exit code 0" if how == "program" else "done"), "an ordinary run reaches it"
    found = await replay(ledger, run)
    assert found["network"]["wall"] == "namespace"
    # Another program meets the wall alone, which knows no names.
    assert found["network"]["refused"] == ([] if how == "program" else [f"127.0.0.1:{port}"])
    assert found["equal"] == (how == "caught")
    if how == "plain":
        assert found["divergence"]["kind"] == "verdict"
        assert f"a replay has no network; it was to reach 127.0.0.1:{port}" in found["divergence"]["difference"]
    elif how == "program":
        assert found["divergence"]["difference"] == (
            "result differs at character 10: 'exit code 1' instead of 'exit code 0'"
        )


@pytest.mark.integration
async def test_a_replay_in_the_sandbox_stays_possible(ledger: Ledger, start: Any) -> None:
    await start()
    params = {"source": "print('hello')\n", "language": "python"}
    run = await ledger.submit("script", params, isolation="sandbox")
    state = await ledger.end(run)
    if state.status != "completed":
        pytest.fail(f"{state.error}")
    found = await replay(ledger, run)
    assert found["network"]["wall"] == "namespace"


FALLING_BACK = """
import ctypes, encodings.idna, os, socket, stringprep, sys
from trialbook_runner.execute import offline
PR_SET_DUMPABLE = 4
def refused():
    raise OSError("no namespaces here")
if {seccomp}:
    offline.by_namespace = refused
if {user}:
    os.setgid({user})
    os.setuid({user})
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)  # as after an exec
before = os.getuid(), os.getgid()
cut = offline.go_offline()
assert (os.getuid(), os.getgid()) == before
for name in ("127.0.0.1", "example.org"):
    try:
        socket.create_connection((name, 9))
    except OSError as error:
        assert "a replay has no network" in str(error), error
    else:
        raise AssertionError(name)
try:
    socket.socket(socket.AF_INET).connect(("127.0.0.1", 9))
except OSError as error:
    assert "a replay has no network" in str(error), error
print(cut.wall, cut.refused)
"""


@pytest.mark.parametrize("user", [0, 12345])
@pytest.mark.parametrize("seccomp", [False, True])
def test_the_next_wall_is_taken_where_one_is_missing(user: int, seccomp: bool) -> None:
    if user and os.getuid() != 0:
        user = 0  # as whoever this is
    script = FALLING_BACK.format(user=user, seccomp=seccomp)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    wall, refused = done.stdout.split(" ", 1)
    assert wall == ("seccomp" if seccomp else "namespace")
    assert refused.startswith("['127.0.0.1:9', 'example.org:9'")


@pytest.mark.parametrize("build", ["by_namespace", "by_filter"])
def test_each_wall_by_itself(build: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        command = [sys.executable, "-c", TRY.format(build=build), str(sock.getsockname()[1])]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "open" not in done.stdout.split()
    assert len(done.stdout.splitlines()) == 2

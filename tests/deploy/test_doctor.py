"""The doctor's bad news: each check fails when what it looks at is not well."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections import namedtuple
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from nats.aio.client import Client

from trialbook.log.api import call
from trialbook.log.connect import connect
from trialbook.log.setup import ensure_streams
from trialbook.presence import RunnerInfo
from trialbook.sockets import held_port
from trialbook.streams import FACTS, Limits, definitions
from trialbook.testing.server import find_nats_server
from trialbook_deploy.doctor import machine, server, services
from trialbook_deploy.doctor.finding import size_text
from trialbook_runner.sandbox.probe import probe

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
async def lazy(tmp_path: Path) -> AsyncIterator[tuple[Client, str]]:
    """A server that does not sync what it acknowledges, without a single service."""
    held = (held_port(), held_port())
    port, monitor = (one.getsockname()[1] for one in held)
    config = tmp_path / "nats.conf"
    config.write_text(
        f'listen: "127.0.0.1:{port}"\nhttp: "127.0.0.1:{monitor}"\njetstream {{ store_dir: "{tmp_path / "store"}" }}\n'
    )
    process = subprocess.Popen([find_nats_server(), "-c", str(config)], stderr=subprocess.DEVNULL)
    nc = await connect(f"nats://127.0.0.1:{port}", name="test")
    yield nc, f"http://127.0.0.1:{monitor}"
    await nc.close()
    process.terminate()
    process.wait()
    for one in held:
        one.close()


@pytest.mark.integration
async def test_a_server_that_forgets_is_a_failure(lazy: tuple[Client, str]) -> None:
    _, monitor = lazy
    found = await server.durability(monitor)
    assert found.level == "fail"
    assert "sync_interval is 120 s" in found.text
    assert "sync_interval: always" in found.remedy
    assert (await server.durability(None)).level == "warn"
    assert (await server.durability("http://127.0.0.1:9")).level == "warn"
    assert (await server.durability("ftp://x")).level == "warn"


@pytest.mark.integration
async def test_missing_and_changed_streams_are_failures(lazy: tuple[Client, str]) -> None:
    nc, _ = lazy
    assert server.version(nc).level == "ok"
    assert {one.level for one in await server.streams(nc)} == {"fail"}
    await ensure_streams(nc)
    assert {one.level for one in await server.streams(nc)} == {"ok"}
    wanted = definitions(Limits())[FACTS]
    changed = {"name": "FACTS", **wanted, "republish": {"src": "fact.>", "dest": "elsewhere.>"}}
    await call(nc, "STREAM.UPDATE.FACTS", changed)
    found = {one.check: one for one in await server.streams(nc)}
    assert found["stream FACTS"].level == "fail"
    assert "republish" in found["stream FACTS"].text
    assert found["stream SIGNALS"].level == "ok"


@pytest.mark.integration
async def test_nobody_at_work_is_a_failure(lazy: tuple[Client, str]) -> None:
    nc, _ = lazy
    await ensure_streams(nc)
    assert [one.level for one in await services.projector(nc)] == ["fail"]
    (found,) = await services.runners(nc)
    assert (found.check, found.level) == ("runners", "fail")
    assert (await services.gateway("http://127.0.0.1:9")).level == "fail"


def test_a_full_disk_is_seen_before_it_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    levels = []
    for free in (512 * 2**20, 2 * 2**30, 50 * 2**30):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: Usage(100 * 2**30, 0, free))
        levels.append(machine.disk(tmp_path / "not" / "yet").level)
    assert levels == ["fail", "warn", "ok"]


def test_the_sandbox_is_tried_as_a_runner_tries_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for choice, level, words in (
        ("", None, "bwrap"), ("none", "warn", "TRIALBOOK_SANDBOX=none"), ("moat", "warn", "it may be bwrap"),
    ):  # fmt: skip
        monkeypatch.setenv("TRIALBOOK_SANDBOX", choice)
        found, walls = machine.sandbox(), probe(choice)
        assert words in found.text
        assert found.level == (level or ("ok" if walls.wall else "warn"))
        if choice == "":
            assert walls.bwrap.detail in found.text
            assert walls.landlock.detail in found.text


def test_a_runner_that_was_started_again_is_not_missed() -> None:
    dead, back, lost = (
        RunnerInfo(
            id=name + number,
            name=name,
            host="h",
            pid=1,
            version="0",
            state="ready",
            labels={},
            pools={},
            workloads=[],
            broken={},
            runs=[],
            lease_s=6.0,
            sandbox="",
            started_at="",
            heartbeat_at="",
        )
        for name, number in (("a", "1"), ("a", "2"), ("b", "1"))
    )
    assert services.silent([back], [dead, lost]) == ["b"]
    assert services.silent([], [dead, lost]) == ["a", "b"]


def test_sizes_are_readable() -> None:
    assert [size_text(n) for n in (0, 1023, 1024, 1536, 3 * 2**30, 5 * 2**50)] == [
        "0 B", "1023 B", "1.0 KiB", "1.5 KiB", "3.0 GiB", "5120.0 TiB",
    ]  # fmt: skip


def test_it_takes_no_time() -> None:
    started = worked_s()
    assert {one.level for one in machine.check_machine(Path("/"))} <= {"ok", "warn", "fail"}
    assert worked_s() - started < 5


def worked_s() -> float:
    """What this process and those it has waited for have worked; how long others kept it waiting says nothing."""
    return sum(os.times()[:4])

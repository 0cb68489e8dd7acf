"""Leases, fencing, cancellation, pause and drain: who may say what about a run, and when it stops."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.runner.conftest import LEASE_S, Ledger
from trialbook.domain.run import commands as c
from trialbook.domain.run import events as e
from trialbook.streams import FACTS
from trialbook.testing.server import NatsServer

pytestmark = pytest.mark.integration


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def gone(pids: list[int], timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while any(alive(pid) for pid in pids):
        assert time.monotonic() < deadline, [pid for pid in pids if alive(pid)]
        await asyncio.sleep(0.01)


async def marks(path: Path, count: int) -> list[str]:
    deadline = time.monotonic() + 10
    while not path.exists() or len(path.read_text().splitlines()) < count:
        assert time.monotonic() < deadline, "the workload left no marks"
        await asyncio.sleep(0.01)
    return path.read_text().splitlines()


async def test_a_killed_runners_run_is_taken_over_within_twice_the_lease(
    ledger: Ledger, start_runner: Any, tmp_path: Path
) -> None:
    runners = {name: await start_runner(name) for name in ("a", "b")}
    run = await ledger.submit("sleeper", {"marks": str(tmp_path / "m"), "seconds": 1.0})
    pid = int((await marks(tmp_path / "m", 1))[0].split()[1])
    owner = (await ledger.state(run)).runner
    runners.pop(owner).kill()
    killed = time.monotonic()
    await gone([pid], 2)
    await ledger.until(run, lambda s: s.attempt == 2)
    assert time.monotonic() - killed < 2 * LEASE_S
    state = await ledger.end(run)
    assert (state.status, state.result, [state.runner]) == ("completed", 2, list(runners))
    assert await ledger.types(run) == ["submitted", "started", "attempt_lost", "started", "completed"]
    await asyncio.sleep(2 * LEASE_S)
    assert len(await ledger.types(run)) == 5


async def test_a_stopped_runner_comes_back_to_refused_facts(ledger: Ledger, start_runner: Any, tmp_path: Path) -> None:
    first = await start_runner("a")
    run = await ledger.submit("sleeper", {"marks": str(tmp_path / "m"), "seconds": LEASE_S})
    pid = int((await marks(tmp_path / "m", 1))[0].split()[1])
    first.signal(signal.SIGSTOP)
    await start_runner("b")
    await ledger.until(run, lambda s: s.attempt == 2)
    first.signal(signal.SIGCONT)  # its child has ended or ends now, with a verdict that nobody may accept
    state = await ledger.end(run)
    assert (state.result, state.runner) == (2, "b")
    await gone([pid], 2)
    await asyncio.sleep(LEASE_S)
    assert await ledger.types(run) == ["submitted", "started", "attempt_lost", "started", "completed"]
    assert "no longer ours" in first.log.read_text()
    follow_up = await ledger.submit("noop", isolation="inline", pool="inline")
    assert (await ledger.end(follow_up)).status == "completed"


async def test_two_runners_never_own_a_run_at_once(ledger: Ledger, start_runner: Any) -> None:
    await asyncio.gather(start_runner("a"), start_runner("b"))
    runs = [await ledger.submit("lines", {"count": n % 5}) for n in range(40)]
    runs += [await ledger.submit("noop", isolation="inline", pool="inline") for _ in range(200)]
    owners = set()
    for run in runs:
        owners.add((await ledger.end(run, 30)).runner)
        names = await ledger.types(run)
        assert names in (["submitted", "started", "completed"], ["submitted", "completed"])
    assert owners == {"a", "b"}


@pytest.mark.parametrize("workload", ["busy", "sleeper", "waiting-task"])
async def test_cancellation_within_a_second(ledger: Ledger, start_runner: Any, tmp_path: Path, workload: str) -> None:
    await start_runner()
    task = {"isolation": "task", "pool": "task"} if workload == "waiting-task" else {}
    run = await ledger.submit(workload, {"marks": str(tmp_path / "m"), "seconds": 600}, **task)
    await ledger.until(run, lambda s: s.status == "running")
    pids = [int((await marks(tmp_path / "m", 1))[0].split()[-1])] if not task else []
    asked = time.monotonic()
    await ledger.command(run, c.RequestCancel(reason="enough"))
    state = await ledger.end(run)
    assert time.monotonic() - asked < 1.0
    assert (state.status, state.cancel_reason) == ("cancelled", "enough")
    await gone(pids, 0.1)
    assert (await ledger.types(run))[-2:] == ["cancel_requested", "cancelled"]


async def test_nothing_that_a_workload_started_survives(ledger: Ledger, start_runner: Any, tmp_path: Path) -> None:
    await start_runner()
    run = await ledger.submit("forker", {"marks": str(tmp_path / "m"), "seconds": 0.2})
    pids = [int(pid) for pid in (await marks(tmp_path / "m", 1))[0].split()]
    assert alive(pids[1])
    assert alive(pids[2])
    assert (await ledger.end(run)).status == "completed"
    await gone(pids, 1)


@pytest.mark.parametrize("victim", ["runner", "zygote"])
async def test_no_orphans_after_kill_9(ledger: Ledger, start_runner: Any, tmp_path: Path, victim: str) -> None:
    runner = await start_runner()
    await ledger.submit("forker", {"marks": str(tmp_path / "m"), "seconds": 600})
    pids = [int(pid) for pid in (await marks(tmp_path / "m", 1))[0].split()]
    pid = runner.process.pid
    zygote = int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
    os.kill(pid if victim == "runner" else zygote, signal.SIGKILL)
    await gone([*pids, zygote], 3)
    if victim == "zygote":
        assert await asyncio.to_thread(runner.process.wait, 12) == 1


async def test_pause_and_resume_do_not_repeat_steps(ledger: Ledger, start_runner: Any, tmp_path: Path) -> None:
    await start_runner()
    run = await ledger.submit("steps", {"marks": str(tmp_path / "m")})
    await marks(tmp_path / "m", 2)
    await ledger.command(run, c.RequestPause())
    await asyncio.sleep(0.1)
    (tmp_path / "m.go").touch()
    state = await ledger.until(run, lambda s: s.status == "paused")
    assert state.checkpoint == {"first": "first!", "second": "second!"}
    await ledger.command(run, c.RequestResume(ticket=ledger.ids.new()))
    state = await ledger.end(run)
    assert (state.status, state.attempt) == ("completed", 2)
    assert state.result == {"first": "first!", "second": "second!", "third": "third!"}
    assert await marks(tmp_path / "m", 3) == ["first 1", "second 1", "third 2"]


async def test_a_takeover_resumes_from_the_checkpoint(ledger: Ledger, start_runner: Any, tmp_path: Path) -> None:
    first = await start_runner("a")
    run = await ledger.submit("steps", {"marks": str(tmp_path / "m")})
    await marks(tmp_path / "m", 2)
    await start_runner("b")
    first.kill()
    (tmp_path / "m.go").touch()
    state = await ledger.end(run)
    assert state.result == {"first": "first!", "second": "second!", "third": "third!"}
    assert await marks(tmp_path / "m", 4) == ["first 1", "second 1", "second 2", "third 2"]


async def test_a_draining_runner_hands_over_at_once(ledger: Ledger, start_runner: Any, tmp_path: Path) -> None:
    patient = {"TRIALBOOK_DRAIN_S": "1.5", "TRIALBOOK_LEASE_S": "20"}
    runners = {name: await start_runner(name, **patient) for name in ("a", "b")}
    long = await ledger.submit("sleeper", {"marks": str(tmp_path / "m"), "seconds": 3.0})
    await marks(tmp_path / "m", 1)
    owner = (await ledger.state(long)).runner
    asked = time.monotonic()
    assert await runners.pop(owner).stop() == 0
    assert time.monotonic() - asked < 3
    await ledger.until(long, lambda s: s.attempt == 2)
    assert time.monotonic() - asked < 5
    state = await ledger.end(long)
    assert (state.status, [state.runner]) == ("completed", list(runners))


async def test_a_draining_runner_lets_short_runs_end(ledger: Ledger, start_runner: Any) -> None:
    runner = await start_runner()
    run = await ledger.submit("sleeper", {"seconds": 0.5})
    await ledger.until(run, lambda s: s.status == "running")
    waiting = await ledger.submit("sleeper", {"seconds": 0.0}, pool="another")
    assert await runner.stop() == 0
    state = await ledger.state(run)
    assert (state.status, state.attempt) == ("completed", 1)
    assert (await ledger.state(waiting)).status == "queued"


async def test_a_draining_runner_lets_a_checkpointing_workload_pause(
    ledger: Ledger, start_runner: Any, tmp_path: Path
) -> None:
    first = await start_runner("a", TRIALBOOK_LEASE_S="20")
    run = await ledger.submit("steps", {"marks": str(tmp_path / "m")})
    await marks(tmp_path / "m", 2)
    await start_runner("b", TRIALBOOK_LEASE_S="20")
    first.signal(signal.SIGTERM)
    await asyncio.sleep(0.1)
    (tmp_path / "m.go").touch()
    state = await ledger.end(run)
    assert await asyncio.to_thread(first.process.wait, 10) == 0
    assert (state.status, state.attempt, state.runner) == ("completed", 2, "b")
    assert await marks(tmp_path / "m", 3) == ["first 1", "second 1", "third 2"]
    assert e.Paused not in [type(fact) for fact in await ledger.facts(run)]


async def test_critical_runs_go_first(ledger: Ledger, start_runner: Any) -> None:
    runs = {}
    for priority in ("low", "normal", "high", "critical"):
        for number in range(2):
            runs[f"{priority}{number}"] = await ledger.submit("lines", {"count": 1}, priority=priority)
    await start_runner(TRIALBOOK_RUNNER_POOLS="default=1")
    started = {name: (await ledger.end(run)).started_at for name, run in runs.items()}
    order = [name[:-1] for name in sorted(started, key=lambda name: started[name])]
    assert order == ["critical"] * 2 + ["high"] * 2 + ["normal"] * 2 + ["low"] * 2


async def test_a_restarted_server_costs_no_attempts(ledger: Ledger, start_runner: Any, nats_server: NatsServer) -> None:
    await asyncio.gather(start_runner("a"), start_runner("b"))
    runs = [await ledger.submit("sleeper", {"seconds": 3 * LEASE_S}) for _ in range(3)]
    last = await ledger.submit("sleeper", {"seconds": 600})
    for run in (*runs, last):
        await ledger.until(run, lambda s: s.status == "running")
    nats_server.kill()
    await asyncio.sleep(LEASE_S)
    await asyncio.to_thread(nats_server.start)
    for run in runs:
        state = await ledger.end(run)
        assert (state.status, state.attempt) == ("completed", 1)
    asked = time.monotonic()
    await ledger.command(last, c.RequestCancel())
    await ledger.end(last)
    assert time.monotonic() - asked < 1.5


async def test_a_deleted_consumer_is_made_again(ledger: Ledger, start_runner: Any) -> None:
    await start_runner()
    await ledger.nc.jetstream().delete_consumer(FACTS, "queue-default-normal")
    run = await ledger.submit("lines", {"count": 1})
    assert (await ledger.end(run)).status == "completed"


async def test_a_runner_stops_in_time_without_its_server(
    ledger: Ledger, start_runner: Any, nats_server: NatsServer, tmp_path: Path
) -> None:
    runner = await start_runner(TRIALBOOK_DRAIN_S="2")
    await ledger.submit("forker", {"marks": str(tmp_path / "m"), "seconds": 600})
    pids = [int(pid) for pid in (await marks(tmp_path / "m", 1))[0].split()]
    nats_server.kill()
    asked = time.monotonic()
    assert await runner.stop() == 0
    assert time.monotonic() - asked < 6
    await gone(pids, 1)
    await asyncio.to_thread(nats_server.start)

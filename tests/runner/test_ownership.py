"""Leases, fencing, cancellation, pause and drain: who may say what about a run, and when it stops."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.runner.conftest import PATIENCE_S, SHORT, SHORT_S, Ledger, told
from trialbook.domain.run import commands as c
from trialbook.domain.run import events as e
from trialbook.streams import FACTS
from trialbook.testing.server import NatsServer
from trialbook_runner.execute.process import CANCEL_NOTICE_S
from trialbook_runner.settings import settings_from

pytestmark = pytest.mark.integration


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def gone(pids: list[int]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while any(alive(pid) for pid in pids):
        assert time.monotonic() < deadline, [pid for pid in pids if alive(pid)]
        await asyncio.sleep(0.01)


async def there(path: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not path.exists():
        assert time.monotonic() < deadline, path
        await asyncio.sleep(0.01)


async def marks(path: Path, count: int) -> list[str]:
    deadline = time.monotonic() + PATIENCE_S
    while not path.exists() or len(path.read_text().splitlines()) < count:
        assert time.monotonic() < deadline, "the workload left no marks"
        await asyncio.sleep(0.01)
    return path.read_text().splitlines()


async def test_a_killed_runners_run_is_taken_over(ledger: Ledger, start_runner: Any, tmp_path: Path) -> None:
    """How soon is measured by the benchmark T10."""
    runners = {name: await start_runner(name, **SHORT) for name in ("a", "b")}
    gate = tmp_path / "gate"
    run = await ledger.submit("sleeper", {"marks": str(tmp_path / "m"), "gate": str(gate)})
    pid = int((await marks(tmp_path / "m", 1))[0].split()[1])
    lost = await ledger.state(run)
    runners.pop(lost.runner).kill()
    await gone([pid])
    await ledger.until(run, lambda s: s.attempt > lost.attempt)
    gate.touch()
    state = await ledger.end(run)
    assert (state.status, state.result, [state.runner]) == ("completed", state.attempt, list(runners))
    names = await ledger.types(run)
    assert names == ["submitted", "started", *["attempt_lost", "started"] * (state.attempt - 1), "completed"]
    await asyncio.sleep(2 * SHORT_S)
    assert await ledger.types(run) == names


async def test_a_stopped_runner_comes_back_to_refused_facts(ledger: Ledger, start_runner: Any, tmp_path: Path) -> None:
    first = await start_runner("a", **SHORT)
    gate = tmp_path / "gate"
    run = await ledger.submit("sleeper", {"marks": str(tmp_path / "m"), "gate": str(gate)})
    pid = int((await marks(tmp_path / "m", 1))[0].split()[1])
    first.signal(signal.SIGSTOP)
    await start_runner("b", **SHORT)
    await ledger.until(run, lambda s: s.runner == "b")
    gate.touch()  # now the stopped runner's child ends as well, with a verdict that nobody may accept
    state = await ledger.end(run)
    assert (state.result, state.runner) == (state.attempt, "b")
    names = await ledger.types(run)
    assert names == ["submitted", "started", *["attempt_lost", "started"] * (state.attempt - 1), "completed"]
    first.signal(signal.SIGCONT)
    await gone([pid])
    deadline = time.monotonic() + PATIENCE_S
    while "no longer ours" not in first.log.read_text():
        assert time.monotonic() < deadline, first.log.read_text()
        await asyncio.sleep(0.02)
    await asyncio.sleep(SHORT_S)
    assert await ledger.types(run) == names
    follow_up = await ledger.submit("noop", isolation="inline", pool="inline")
    assert (await ledger.end(follow_up)).status == "completed"


async def test_two_runners_never_own_a_run_at_once(ledger: Ledger, start_runner: Any) -> None:
    await asyncio.gather(start_runner("a"), start_runner("b"))
    await _both_ask(ledger)
    runs = [await ledger.submit("lines", {"count": n % 5}) for n in range(40)]
    runs += [await ledger.submit("noop", isolation="inline", pool="inline") for _ in range(200)]
    owners = set()
    for run in runs:
        owners.add((await ledger.end(run)).runner)
        names = await ledger.types(run)
        assert names in (["submitted", "started", "completed"], ["submitted", "completed"])
    assert owners == {"a", "b"}


async def _both_ask(ledger: Ledger) -> None:
    """Until either runner's request waits in the server, which serves those that wait in turn."""
    deadline = time.monotonic() + PATIENCE_S
    while (await ledger.nc.jetstream().consumer_info(FACTS, "queue-default-normal")).num_waiting < 2:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("workload", ["busy", "sleeper", "waiting-task"])
async def test_cancellation_interrupts(ledger: Ledger, start_runner: Any, tmp_path: Path, workload: str) -> None:
    await start_runner()
    task = {"isolation": "task", "pool": "task"} if workload == "waiting-task" else {}
    run = await ledger.submit(workload, {"marks": str(tmp_path / "m"), "seconds": 600}, **task)
    await ledger.until(run, lambda s: s.status == "running")
    pids = [int((await marks(tmp_path / "m", 1))[0].split()[-1])] if not task else []
    await ledger.command(run, c.RequestCancel(reason="enough"))
    state = await ledger.end(run)
    assert not [pid for pid in pids if alive(pid)], "the verdict comes after the end"
    assert (state.status, state.cancel_reason) == ("cancelled", "enough")
    assert (await ledger.types(run))[-2:] == ["cancel_requested", "cancelled"]


def test_a_workload_has_less_than_a_second_to_obey() -> None:
    assert CANCEL_NOTICE_S + settings_from({}).kill_grace_s < 1


async def test_nothing_that_a_workload_started_survives(ledger: Ledger, start_runner: Any, tmp_path: Path) -> None:
    await start_runner()
    run = await ledger.submit("forker", {"marks": str(tmp_path / "m"), "gate": str(tmp_path / "gate")})
    pids = [int(pid) for pid in (await marks(tmp_path / "m", 1))[0].split()]
    assert [alive(pid) for pid in pids] == [True] * 7
    (tmp_path / "gate").touch()
    assert (await ledger.end(run)).status == "completed"
    await gone(pids)


@pytest.mark.parametrize("victim", ["runner", "zygote"])
async def test_no_orphans_after_kill_9(ledger: Ledger, start_runner: Any, tmp_path: Path, victim: str) -> None:
    runner = await start_runner()
    await ledger.submit("forker", {"marks": str(tmp_path / "m"), "gate": str(tmp_path / "never")})
    pids = [int(pid) for pid in (await marks(tmp_path / "m", 1))[0].split()]
    pid = runner.process.pid
    zygote = int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
    os.kill(pid if victim == "runner" else zygote, signal.SIGKILL)
    await gone([*pids, zygote])
    if victim == "zygote":
        assert await asyncio.to_thread(runner.process.wait, PATIENCE_S) == 1


async def test_pause_and_resume_do_not_repeat_steps(ledger: Ledger, start_runner: Any, tmp_path: Path) -> None:
    await start_runner()
    run = await ledger.submit("steps", {"marks": str(tmp_path / "m")})
    await marks(tmp_path / "m", 2)
    await ledger.command(run, c.RequestPause())
    await there(tmp_path / "m.pausing")
    (tmp_path / "m.go").touch()
    state = await ledger.until(run, lambda s: s.status == "paused")
    assert state.checkpoint == {"first": "first!", "second": "second!"}
    await ledger.command(run, c.RequestResume(ticket=ledger.ids.new()))
    state = await ledger.end(run)
    assert (state.status, state.attempt) == ("completed", 2)
    assert state.result == {"first": "first!", "second": "second!", "third": "third!"}
    assert await marks(tmp_path / "m", 3) == ["first 1", "second 1", "third 2"]


async def test_a_takeover_resumes_from_the_checkpoint(ledger: Ledger, start_runner: Any, tmp_path: Path) -> None:
    first = await start_runner("a", **SHORT)
    run = await ledger.submit("steps", {"marks": str(tmp_path / "m")})
    await marks(tmp_path / "m", 2)
    first.kill()
    await start_runner("b", **SHORT)
    (tmp_path / "m.go").touch()
    state = await ledger.end(run)
    assert state.result == {"first": "first!", "second": "second!", "third": "third!"}
    assert await marks(tmp_path / "m", 4) == ["first 1", "second 1", "second 2", "third 2"]


async def test_a_draining_runner_hands_over_at_once(ledger: Ledger, start_runner: Any, tmp_path: Path) -> None:
    """With leases so long that the other one would wait for this test's end."""
    patient = {"TRIALBOOK_DRAIN_S": "1.5", "TRIALBOOK_LEASE_S": "600"}
    runners = {name: await start_runner(name, **patient) for name in ("a", "b")}
    gate = tmp_path / "gate"
    long = await ledger.submit("sleeper", {"marks": str(tmp_path / "m"), "gate": str(gate)})
    await marks(tmp_path / "m", 1)
    owner = (await ledger.state(long)).runner
    assert await runners.pop(owner).stop() == 0
    await ledger.until(long, lambda s: s.attempt == 2)
    gate.touch()
    state = await ledger.end(long)
    assert (state.status, [state.runner]) == ("completed", list(runners))


async def test_a_draining_runner_lets_short_runs_end(ledger: Ledger, start_runner: Any, tmp_path: Path) -> None:
    runner = await start_runner(TRIALBOOK_DRAIN_S="60")
    gate = tmp_path / "gate"
    run = await ledger.submit("sleeper", {"gate": str(gate)})
    await ledger.begun(run)
    runner.signal(signal.SIGTERM)
    await told(ledger, lambda info: info.state == "draining")
    waiting = await ledger.submit("sleeper")
    gate.touch()
    assert await runner.stop() == 0
    state = await ledger.state(run)
    assert (state.status, state.attempt) == ("completed", 1)
    assert (await ledger.state(waiting)).status == "queued"


async def test_a_draining_runner_lets_a_checkpointing_workload_pause(
    ledger: Ledger, start_runner: Any, tmp_path: Path
) -> None:
    first = await start_runner("a", TRIALBOOK_DRAIN_S="60")
    run = await ledger.submit("steps", {"marks": str(tmp_path / "m")})
    await marks(tmp_path / "m", 2)
    await start_runner("b")
    first.signal(signal.SIGTERM)
    await there(tmp_path / "m.pausing")
    (tmp_path / "m.go").touch()
    state = await ledger.end(run)
    assert await asyncio.to_thread(first.process.wait, PATIENCE_S) == 0
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


async def test_a_restarted_server_costs_no_attempts(
    ledger: Ledger, start_runner: Any, nats_server: NatsServer, tmp_path: Path
) -> None:
    lease_s, gate = 3.0, tmp_path / "gate"
    await asyncio.gather(*(start_runner(name, TRIALBOOK_LEASE_S=str(lease_s)) for name in ("a", "b")))
    runs = [await ledger.submit("sleeper", {"gate": str(gate)}) for _ in range(3)]
    last = await ledger.submit("sleeper", {"seconds": 600})
    for run in (*runs, last):
        await ledger.until(run, lambda s: s.status == "running")
    nats_server.kill()
    await asyncio.sleep(lease_s)
    await asyncio.to_thread(nats_server.start)
    await asyncio.sleep(1.5 * lease_s)  # what counts as lost is taken over by then
    gate.touch()
    for run in runs:
        state = await ledger.end(run)
        assert (state.status, state.attempt) == ("completed", 1)
    await ledger.command(last, c.RequestCancel())
    assert (await ledger.end(last)).attempt == 1


async def test_a_deleted_consumer_is_made_again(ledger: Ledger, start_runner: Any) -> None:
    await start_runner()
    await ledger.nc.jetstream().delete_consumer(FACTS, "queue-default-normal")
    run = await ledger.submit("lines", {"count": 1})
    assert (await ledger.end(run)).status == "completed"


async def test_a_runner_stops_without_its_server(
    ledger: Ledger, start_runner: Any, nats_server: NatsServer, tmp_path: Path
) -> None:
    runner = await start_runner(TRIALBOOK_DRAIN_S="2")
    await ledger.submit("forker", {"marks": str(tmp_path / "m"), "gate": str(tmp_path / "never")})
    pids = [int(pid) for pid in (await marks(tmp_path / "m", 1))[0].split()]
    nats_server.kill()
    assert await runner.stop() == 0
    await gone(pids)
    await asyncio.to_thread(nats_server.start)

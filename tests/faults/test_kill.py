"""kill -9 of every service under the load of several experiments at once."""

import asyncio
import random
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.faults.load import IDS, PATIENCE_S, Api, audit, ledger
from trialbook.domain.run import events as e
from trialbook_deploy.stack import Stack

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
LEASE_S = 2.0
ENV = {"TRIALBOOK_LEASE_S": str(LEASE_S)}
COUNTING = "import time\nfor i in range({n}):\n    print('line', i, flush=True)\n    time.sleep({pause})\n"


def counting(lines: int, pause: float) -> dict[str, Any]:
    return {"argv": [sys.executable, "-c", COUNTING.format(n=lines, pause=pause)]}


async def load(api: Api, stop: asyncio.Event, runs: list[str]) -> None:
    """Many kinds of work at once until told to stop."""
    chance = random.Random(1)
    while not stop.is_set():
        kind = chance.choice(["noop", "noop", "noop", "command", "marketplace"])
        match kind:
            case "noop":
                runs.append(await api.submit("noop", {}))
            case "command":
                runs.append(await api.submit("command", counting(20, 0.02)))
            case "marketplace":
                answer = await api.request("POST", "/marketplace/api/experiments", json={"dataset": "mexican_3_9"})
                assert answer.status_code == 200, answer.text
        await asyncio.sleep(0.02)


async def campaign(directory: Path, victims: list[str], outage_s: float) -> None:
    async with Stack(directory, runners=2, env=ENV) as stack:
        api, stop = Api(stack), asyncio.Event()
        runs: list[str] = []
        loads = [asyncio.create_task(load(api, stop, runs)) for _ in range(3)]
        await asyncio.sleep(1)
        for victim in victims:
            old = stack.kill(victim)
            await stack.wait_replaced(victim, old)
            await api.request("GET", "/health/ready")  # what never comes up between two kills is another test
            await asyncio.sleep(1.0)
        stop.set()
        await asyncio.gather(*loads)
        for run in runs:
            assert (await api.finished(run))["status"] == "completed"
        await everything_finished(api)
        await audit(api, stack)
        assert api.outage_s < outage_s, f"no answer for {api.outage_s:.1f} s"
        await api.close()


async def everything_finished(api: Api) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            page = (await api.request("GET", "/v1/runs?status=queued&status=running&limit=1")).json()
            if not page["items"]:
                return
            await asyncio.sleep(0.1)


async def test_kill_9_of_each_service(tmp_path: Path) -> None:
    await campaign(tmp_path / "data", ["runner-1", "gateway", "projector", "nats", "runner-2"], outage_s=30.0)


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("seed", range(4))
async def test_kill_9_again_and_again(tmp_path: Path, seed: int) -> None:
    """The supervisor waits up to ten seconds before it starts a service again that keeps dying; machines are busy."""
    services = ["gateway", "projector", "nats", "runner-1", "runner-2"]
    await campaign(tmp_path / "data", random.Random(seed).choices(services, k=25), outage_s=60.0)


async def test_a_killed_runner_is_replaced_within_twice_the_lease(tmp_path: Path) -> None:
    lease_s = 6.0  # so long that twice of it leaves a busy machine several seconds
    env = {"TRIALBOOK_LEASE_S": str(lease_s)}
    async with Stack(tmp_path / "data", runners=2, env=env) as stack:
        api = Api(stack)
        run = await api.submit("command", counting(1000, 0.1))
        owner = await running(api, run)
        loop = asyncio.get_running_loop()
        stack.kill(owner)
        killed = loop.time()
        while (await api.get(run))["attempt"] < 2:
            assert loop.time() - killed < 2 * lease_s, "not taken over"
            await asyncio.sleep(0.02)
        await api.request("POST", f"/v1/runs/{run}/cancel")
        assert (await api.finished(run))["status"] == "cancelled"
        await audit(api, stack)
        await api.close()


async def test_a_runner_that_slept_past_its_lease_is_not_heard(tmp_path: Path) -> None:
    async with Stack(tmp_path / "data", runners=2, env=ENV) as stack:
        api = Api(stack)
        run = await api.submit("command", counting(60, 0.05))
        owner = await running(api, run)
        stack.kill(owner, signal.SIGSTOP)
        try:
            while (await api.get(run))["attempt"] < 2:
                await asyncio.sleep(0.05)
        finally:
            stack.kill(owner, signal.SIGCONT)
        view = await api.finished(run)
        assert view["status"] == "completed"
        assert view["attempt"] >= 2, "a busy machine may have let another lease run out"
        await asyncio.sleep(LEASE_S)
        facts = [fact for _, fact, _ in (await ledger(stack))[run]]
        verdicts = [f.attempt for f in facts if isinstance(f, e.Completed | e.Failed | e.Cancelled)]
        assert verdicts == [view["attempt"]]
        await audit(api, stack)
        await api.close()


async def running(api: Api, run: str) -> str:
    """Wait until the run has written something; the name of its runner."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            view = await api.get(run)
            if view["status"] == "running" and await api.logs(run):
                return str(view["runner"]).split("@")[0]
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("victim", ["gateway", "projector", "nats"])
async def test_a_reader_with_a_cursor_misses_and_repeats_nothing(tmp_path: Path, victim: str) -> None:
    """The lease outlasts the outage: another attempt would print its lines again."""
    async with Stack(tmp_path / "data", env={"TRIALBOOK_LEASE_S": "30"}) as stack:
        api = Api(stack)
        run = await api.submit("command", counting(400, 0.01))
        seen: list[dict[str, Any]] = []
        killed = False
        async for message in api.stream(run):
            seen.append(message)
            if not killed and len(seen) > 60:
                killed = True
                stack.kill(victim)
        lines = [m["data"] for m in seen if m["type"] == "log"]
        assert [line["message"] for line in lines] == [f"line {i}" for i in range(400)]
        assert seen[-1]["type"] == "status"
        assert lines == await api.all_logs(run)
        await api.close()


async def test_the_whole_stack_comes_back_as_it_was(tmp_path: Path) -> None:
    async with Stack(tmp_path / "data", env=ENV) as stack:
        api = Api(stack)
        done = [await api.submit("noop", {}) for _ in range(20)]
        for run in done:
            await api.finished(run)
        before = [await api.get(run) for run in done]
        long = await api.submit("command", counting(100, 0.05))
        await running(api, long)
        acknowledged = api.acknowledged
        await api.close()
        await stack.abandon()
        await stack.start()
        api = Api(stack)
        api.acknowledged = acknowledged
        assert [await api.get(run) for run in done] == before
        assert (await api.finished(long))["attempt"] >= 2
        await audit(api, stack)
        await api.close()


async def test_of_two_runs_with_one_name_exactly_one_wins(tmp_path: Path) -> None:
    async with Stack(tmp_path / "data", runners=1) as stack:
        api = Api(stack)
        for number in range(10):
            body = {"workload": "noop", "params": {}, "name": f"twin-{number}"}
            keys = [{"Idempotency-Key": IDS.new()} for _ in range(4)]  # who asks again is answered as at first
            answers = await asyncio.gather(*(api.request("POST", "/v1/runs", json=body, headers=key) for key in keys))
            codes = sorted(answer.status_code for answer in answers)
            assert codes == [201, 409, 409, 409]
        await api.close()

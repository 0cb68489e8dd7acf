"""Calls recorded as effects: never repeated, whoever dies; replayed without being made."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.runner.conftest import META, SHORT, Ledger
from tests.runner.test_ahead import grandchildren
from tests.runner.test_ownership import gone
from trialbook.domain.run import RunState
from trialbook.domain.run import commands as c
from trialbook.envelope import AggregateId
from trialbook.workload import request_digest

pytestmark = pytest.mark.integration


def calls(marks: Path) -> list[int]:
    return [int(line) for line in marks.read_text().splitlines()]


async def replay(ledger: Ledger, run: AggregateId) -> dict[str, Any]:
    """The result of a replay."""
    state = await ledger.state(run)
    again = AggregateId(run.workspace, "run", ledger.ids.new())
    spec = msgspec.structs.replace(state.order, replay_of=run.id)
    await ledger.handler.handle(again, c.Create(spec=spec, ticket=ledger.ids.new()), META)
    ended = await ledger.end(again)
    assert ended.status == "completed", ended.error
    assert not ended.effects
    assert ended.result["replay_of"] == run.id
    found: dict[str, Any] = ended.result
    return found


def answers(state: RunState) -> list[str]:
    return [found["answer"] for found in state.result]


@pytest.mark.parametrize(
    ("workload", "isolation"), [("caller", "process"), ("blocking-caller", "process"), ("task-caller", "task")]
)
async def test_a_call_is_a_fact_before_it_counts(
    ledger: Ledger, start: Any, marks: Path, workload: str, isolation: str
) -> None:
    await start(TRIALBOOK_RUNNER_POOLS="default=2")
    run = await ledger.submit(workload, {"marks": str(marks)}, isolation=isolation)
    state = await ledger.end(run)
    assert answers(state) == ["0", "1", "2"]
    assert list(state.effects) == ["call/0", "call/1", "call/2"]
    effect = state.effects["call/1"]
    assert effect.request_digest == request_digest({"drift": "", "question": 1})
    assert effect.response == {"answer": "1", "nth": 2}
    network: dict[str, Any] = {"wall": "none" if isolation == "task" else "namespace", "refused": []}
    assert await replay(ledger, run) == {"equal": True, "divergence": None, "replay_of": run.id, "network": network}
    assert calls(marks) == [0, 1, 2]


@pytest.mark.parametrize(("workload", "isolation"), [("asker", "process"), ("task-asker", "task")])
@pytest.mark.parametrize("size", [1, 70_000])
async def test_an_attempt_finds_what_it_recorded_itself(
    ledger: Ledger, start: Any, marks: Path, workload: str, isolation: str, size: int
) -> None:
    await start(TRIALBOOK_RUNNER_POOLS="default=2")
    run = await ledger.submit(workload, {"marks": str(marks), "size": size}, isolation=isolation)
    state = await ledger.end(run)
    assert state.result == [[size, 1], [size, 1]]
    assert calls(marks) == [0]


async def test_large_responses_are_blobs_and_come_back(ledger: Ledger, start: Any, marks: Path) -> None:
    await start()
    run = await ledger.submit("caller", {"marks": str(marks), "size": 70_000, "count": 2})
    state = await ledger.end(run)
    assert all(effect.blob and effect.response is None for effect in state.effects.values())
    assert (await replay(ledger, run))["equal"]
    assert calls(marks) == [0, 1]


async def test_a_killed_runner_repeats_no_call(ledger: Ledger, start: Any, marks: Path, tmp_path: Path) -> None:
    runner = await start("a", **SHORT)
    gate = tmp_path / "gate"
    params = {"marks": str(marks), "count": 5, "hold": 3, "gate": str(gate)}
    run = await ledger.submit("caller", params)
    await ledger.until(run, lambda s: len(s.effects) == 3)
    processes = [*grandchildren(runner)]
    assert processes
    runner.kill()
    await gone(processes)  # or one of them would find the gate open before it is ended
    gate.touch()
    await start("b", **SHORT)
    state = await ledger.end(run)
    assert (state.status, state.attempt) == ("completed", 2)
    assert calls(marks) == [0, 1, 2, 3, 4]
    assert [found["nth"] for found in state.result] == [1, 2, 3, 4, 5]
    assert [fact.attempt for fact in await ledger.facts(run) if fact.TYPE.startswith("run.effect")] == [1, 1, 1, 2, 2]
    assert (await replay(ledger, run))["equal"]


async def test_a_retry_takes_what_was_recorded(ledger: Ledger, start: Any, marks: Path, tmp_path: Path) -> None:
    await start()
    broken = tmp_path / "broken"
    broken.touch()
    run = await ledger.submit("caller", {"marks": str(marks), "fail": str(broken)})
    assert (await ledger.end(run)).status == "failed"
    equal = await replay(ledger, run)
    assert (equal["equal"], equal["divergence"]) == (True, None)
    broken.unlink()
    diverged = await replay(ledger, run)
    assert diverged["divergence"] == {
        "kind": "verdict",
        "difference": "the run completed instead of failed (asked_to: The file is there.)",
    }
    await ledger.command(run, c.Retry(ticket=ledger.ids.new()))
    state = await ledger.until(run, lambda s: s.status == "completed")
    assert answers(state) == ["0", "1", "2"]
    assert calls(marks) == [0, 1, 2]


async def test_a_replay_names_the_first_divergence(ledger: Ledger, start: Any, marks: Path, tmp_path: Path) -> None:
    await start()
    drift = tmp_path / "drift"
    drift.write_text("one")
    run = await ledger.submit("caller", {"marks": str(marks), "drift": str(drift)})
    await ledger.end(run)
    drift.write_text("two")
    assert (await replay(ledger, run))["divergence"] == {
        "kind": "call", "key": "call/0", "difference": "the request is another one than was recorded",
    }  # fmt: skip
    assert calls(marks) == [0, 1, 2]


async def test_concurrent_calls_and_a_result_that_nothing_explains(ledger: Ledger, start: Any, marks: Path) -> None:
    await start()
    run = await ledger.submit("restless", {"marks": str(marks), "count": 100})
    state = await ledger.end(run)
    assert len(state.effects) == 100
    found = await replay(ledger, run)
    assert not found["equal"]
    assert found["divergence"]["kind"] == "result"
    assert found["divergence"]["difference"].startswith("result differs at character")
    assert sorted(calls(marks)) == list(range(100))


async def test_a_replay_of_nothing_fails(ledger: Ledger, start: Any, marks: Path) -> None:
    await start()
    run = await ledger.submit("caller", {"marks": str(marks)}, replay_of="0" * 32)
    state = await ledger.end(run)
    assert (state.status, (state.error or {})["code"]) == ("failed", "run_not_replayable")
    assert not await asyncio.to_thread(marks.exists)


async def test_a_sweep_is_replayed_without_running_its_children_again(ledger: Ledger, start: Any, marks: Path) -> None:
    await start()
    params = {"workload": "caller", "base": {"marks": str(marks)}, "grid": {"count": [1, 2]}}
    run = await ledger.submit("sweep", params, isolation="task")
    assert (await ledger.end(run)).status == "completed"
    before = calls(marks)
    assert (await replay(ledger, run))["equal"]
    assert calls(marks) == before

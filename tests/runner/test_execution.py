"""Workloads of all isolations through a real runner process."""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import pytest

from tests.runner.conftest import Ledger
from trialbook.blobs.nats import NatsBlobStore
from trialbook.domain.run import commands as c

pytestmark = pytest.mark.integration


async def one(content: bytes) -> AsyncIterator[bytes]:
    yield content


async def test_an_inline_run_is_finished_with_a_single_fact(ledger: Ledger, start_runner: Any) -> None:
    await start_runner()
    run = await ledger.submit("noop", {"echo": {"a": [1, None]}}, isolation="inline", pool="inline")
    state = await ledger.end(run)
    assert (state.status, state.result, state.attempt) == ("completed", {"a": [1, None]}, 1)
    assert await ledger.types(run) == ["submitted", "completed"]


async def test_an_inline_run_that_is_retried_is_executed_again(ledger: Ledger, start_runner: Any) -> None:
    await start_runner()
    run = await ledger.submit("noop", {"sleep_ms": "long"}, isolation="inline", pool="inline")
    state = await ledger.end(run)
    assert state.error is not None
    assert (state.status, state.error["code"]) == ("failed", "invalid_params")
    await ledger.command(run, c.Retry(ticket=ledger.ids.new()))
    await ledger.until(run, lambda s: s.terminal and s.attempt == 2)


async def test_a_slow_inline_workload_is_named_in_the_log(ledger: Ledger, start_runner: Any) -> None:
    runner = await start_runner()
    run = await ledger.submit("slow-inline", isolation="inline", pool="inline")
    assert (await ledger.end(run)).result == "slow"
    assert "inline workload 'slow-inline' took" in runner.log.read_text()


async def test_the_whole_context_in_a_process(ledger: Ledger, start_runner: Any) -> None:
    blobs = NatsBlobStore(ledger.nc)
    given = await blobs.put(one(b"hello input"))
    await start_runner()
    run = await ledger.submit("everything", {}, inputs={"text": given.sha256}, seed=7)
    state = await ledger.end(run)
    assert state.status == "completed", state.error
    assert await ledger.types(run) == [
        "submitted", "started", "artifact_recorded", "artifact_recorded", "checkpointed", "completed",
    ]  # fmt: skip
    assert state.result is None
    assert state.result_blob is not None
    stored = b"".join([part async for part in blobs.get(state.result_blob)])
    assert hashlib.sha256(stored).hexdigest() == state.result_blob
    assert f'"random":{Random(7).random()}' in stored.decode()
    assert '"environment":[]' in stored.decode()
    assert '"stdin":""' in stored.decode()
    assert state.checkpoint_blob is not None
    assert (state.artifacts["file.txt"].size, state.artifacts["file.txt"].media_type) == (7, "text/plain")
    records = await ledger.signals(run)
    assert max(r["sequence"] for r in records) == state.signal_sequence
    logs = [(r["message"], r.get("logger"), r.get("level", "info")) for r in records if r["type"] == "run.log.v1"]
    assert logs == [("hello input", "text", "debug"), ("printed", "stdout", "info")]
    metrics = [(r["name"], r.get("value"), r["index"]) for r in records if r["type"] == "run.metric.v1"]
    assert metrics == [("loss", 0.5, 1), ("loss", None, 2)]
    assert [r["data"] for r in records if r["type"] == "run.record.v1"] == [{"x": 1}]
    workdir = re.search(r'"workdir":"([^"]+)"', stored.decode())
    assert workdir is not None
    assert run.id in workdir[1]


async def test_attempts_leave_no_files_behind(ledger: Ledger, start_runner: Any, tmp_path: Any) -> None:
    await start_runner()
    run = await ledger.submit("everything", {})
    await ledger.end(run)
    assert not [path for path in (tmp_path / "work").rglob("*") if run.id in str(path)]


async def test_sync_workloads_take_steps_and_checkpoints_without_await(ledger: Ledger, start_runner: Any) -> None:
    await start_runner()
    run = await ledger.submit("blocking")
    state = await ledger.end(run)
    assert (state.status, state.result) == ("completed", [{"n": 0}, {"n": 1}, {"n": 2}]), state.error
    assert {name: step.status for name, step in state.steps.items()} == dict.fromkeys(("s0", "s1", "s2"), "completed")
    assert list(state.artifacts) == ["values.json"]


async def test_a_task_emits_and_returns(ledger: Ledger, start_runner: Any) -> None:
    await start_runner()
    run = await ledger.submit("waiting-task", {"seconds": 0.1}, isolation="task", pool="task")
    state = await ledger.end(run)
    assert (state.status, state.result) == ("completed", "waited")
    assert [r["message"] for r in await ledger.signals(run)] == ["waiting"]
    assert state.signal_sequence > 0


FAILURES: list[tuple[str, dict[str, Any], dict[str, Any], str, str]] = [
    ("raises", {}, {}, "exception", "ZeroDivisionError: one divided by none"),
    ("crash", {"count": 11}, {}, "process_crashed", "SIGSEGV"),
    ("crash", {"count": 9}, {}, "process_crashed", "SIGKILL"),
    ("crash", {}, {}, "process_crashed", "exit code 3"),
    ("no-such-thing", {}, {}, "unknown_workload", "no workload 'no-such-thing'"),
    ("sleeper", {"seconds": "many"}, {}, "invalid_params", "seconds"),
    ("sleeper", {"seconds": 60}, {"timeout_s": 0.3}, "timeout", "0.3 s"),
    ("busy", {}, {"timeout_s": 0.3}, "timeout", "0.3 s"),
    ("waiting-task", {"seconds": 60}, {"timeout_s": 0.3, "isolation": "task", "pool": "task"}, "timeout", "0.3 s"),
    ("sleeper", {}, {"isolation": "sandbox"}, "isolation_not_allowed", "not made for a sandbox"),
    ("walled", {}, {}, "isolation_not_allowed", "in a sandbox only"),
    ("sleeper", {}, {"isolation": "inline", "pool": "inline"}, "isolation_not_allowed", "inline"),
    ("sleeper", {}, {"isolation": "task", "pool": "task"}, "isolation_not_allowed", "task"),
    ("sleeper", {}, {"inputs": {"../x": "0" * 64}}, "invalid_input_name", "../x"),
    ("sleeper", {}, {"inputs": {"x": "0" * 64}}, "blob_not_found", "0000"),
    ("broken-module", {}, {}, "unknown_workload", "ModuleNotFoundError"),
]


async def test_every_failure_has_a_clear_code(ledger: Ledger, start_runner: Any) -> None:
    await start_runner()
    runs = [await ledger.submit(name, params, **spec) for name, params, spec, _, _ in FAILURES]
    for run, (name, _, _, code, part) in zip(runs, FAILURES, strict=True):
        state = await ledger.end(run)
        assert state.status == "failed", name
        assert state.error is not None
        assert state.error["code"] == code, state.error
        assert part in state.error["detail"], state.error
        if code == "exception":
            assert "raise ZeroDivisionError" in state.error["traceback"]


async def test_failed_attempts_are_repeated_after_their_backoff(ledger: Ledger, start_runner: Any) -> None:
    await start_runner()
    retry = {"max_attempts": 3, "backoff_s": 0.3, "factor": 1.0}
    run = await ledger.submit("flaky", {"count": 3}, retry=retry)
    state = await ledger.end(run)
    assert (state.status, state.result, state.attempt, state.failed_attempts) == ("completed", 3, 3, 2)
    names = await ledger.types(run)
    assert names == ["submitted", "started", "attempt_failed", "started", "attempt_failed", "started", "completed"]
    again = await ledger.submit("flaky", {"count": 9}, retry=retry)
    failed = await ledger.end(again)
    assert failed.error is not None
    assert (failed.attempt, failed.error["code"], failed.error["tried"]) == (3, "not_this_time", 3)


async def test_a_broken_plugin_is_reported_and_harmless(ledger: Ledger, start_runner: Any) -> None:
    runner = await start_runner()
    assert "workload plugin 'broken-module' is broken: ModuleNotFoundError" in runner.log.read_text()
    assert "workload plugin 'broken-import' is broken: AttributeError" in runner.log.read_text()
    run = await ledger.submit("noop", isolation="inline", pool="inline")
    assert (await ledger.end(run)).status == "completed"

"""Settings, the registry, presence and what a bad start says."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from tests.runner.conftest import PATIENCE_S, Ledger, told
from trialbook.errors import Invalid
from trialbook_runner.execute.failures import MAX_TRACEBACK, crashed, verdict_of
from trialbook_runner.registry import GROUP, load_registry
from trialbook_runner.settings import parse_pools, settings_from


def test_settings_come_from_the_environment() -> None:
    env = {
        "TRIALBOOK_RUNNER_NAME": "gpu-1", "TRIALBOOK_RUNNER_POOLS": "default=2, gpu=1", "TRIALBOOK_LEASE_S": "3",
        "TRIALBOOK_RUNNER_LABELS": "zone=a,gpu=yes", "TRIALBOOK_LOG_LEVEL": "debug",
    }  # fmt: skip
    settings = settings_from(env)
    assert (settings.name, settings.pools, settings.lease_s) == ("gpu-1", {"default": 2, "gpu": 1}, 3.0)
    assert (settings.labels, settings.log_level) == ({"zone": "a", "gpu": "yes"}, "DEBUG")
    assert settings_from({}).pools == {"default": 4, "inline": 512, "task": 64}


@pytest.mark.parametrize("text", ["default", "default=0", "default=x", "A.B=1", "default=99999", ","])
def test_wrong_pools_are_refused(text: str) -> None:
    with pytest.raises(Invalid):
        parse_pools(text)


@pytest.mark.parametrize(
    "env", [{"TRIALBOOK_LEASE_S": "0.1"}, {"TRIALBOOK_LEASE_S": "soon"}, {"TRIALBOOK_DRAIN_S": "-1"}]
)
def test_wrong_times_are_refused(env: dict[str, str]) -> None:
    with pytest.raises(Invalid):
        settings_from(env)


def test_a_runner_says_what_is_wrong_with_its_settings(tmp_path: Path) -> None:
    env = {"TRIALBOOK_RUNNER_POOLS": "default=many", "TRIALBOOK_DATA_DIR": str(tmp_path)}
    ended = subprocess.run(
        [sys.executable, "-m", "trialbook_runner"], env=env, capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert ended.returncode == os.EX_CONFIG
    assert ended.stderr == "trialbook runner: Pool 'default' has 'many' slots; give 1 to 4096.\n"


def test_what_cannot_be_loaded_is_reported() -> None:
    noop = "trialbook_runner.workloads.noop:workload"
    points = [
        EntryPoint("a", noop, GROUP), EntryPoint("b", noop, GROUP), EntryPoint("c", "json:dumps", GROUP),
        EntryPoint("d", "no_such_module:x", GROUP),
    ]  # fmt: skip
    registry = load_registry(points)
    assert list(registry.workloads) == ["noop"]
    assert set(registry.broken) == {"b", "c", "d"}
    assert "registered twice" in registry.broken["b"]
    assert "not a Workload" in registry.broken["c"]
    assert "ModuleNotFoundError" in registry.broken["d"]


def test_our_own_workloads_load() -> None:
    registry = load_registry()
    assert {"command", "noop", "pipeline", "sweep"} <= set(registry.workloads)


def test_tracebacks_are_bounded() -> None:
    def deep(n: int) -> None:
        if n:
            deep(n - 1)
        raise ValueError("x" * 100_000)

    with pytest.raises(ValueError, match="x") as caught:
        deep(50)
    error = verdict_of(caught.value).error
    assert len(error["traceback"]) < MAX_TRACEBACK + 10
    assert len(error["detail"]) <= 2000


def test_the_end_of_a_process_is_explained() -> None:
    assert crashed(-9).error == {
        "code": "process_crashed", "signal": "SIGKILL",
        "detail": "The process was ended by SIGKILL; the system may have run out of memory.",
    }  # fmt: skip
    assert crashed(7).error["exit_code"] == 7


@pytest.mark.integration
async def test_a_runner_and_its_workloads_are_announced(ledger: Ledger, start_runner: Any) -> None:
    runner = await start_runner("here", TRIALBOOK_RUNNER_LABELS="zone=a")
    run = await ledger.submit("sleeper", {"seconds": 600})
    await ledger.until(run, lambda s: s.status == "running")
    info, workloads = await told(ledger, lambda i: i.runs == [run.id])
    assert (info.name, info.pid, info.state, info.labels) == ("here", runner.process.pid, "ready", {"zone": "a"})
    assert (info.pools["default"].slots, info.pools["default"].busy) == (4, 1)
    assert set(info.broken) == {"broken-import", "broken-module"}
    assert workloads["noop"].params_schema["properties"]["sleep_ms"]["maximum"] == 10000
    assert workloads["sweep"].pool == "task"
    await runner.stop()
    info, _ = await told(ledger, lambda i: i.state == "stopped")
    assert info.runs == []

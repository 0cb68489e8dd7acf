"""The workloads that come with the runner."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.runner.conftest import PATIENCE_S, SHORT, Ledger
from trialbook.domain.run import commands as c
from trialbook.errors import Invalid
from trialbook_runner.workloads.command import workload as command
from trialbook_runner.workloads.lines import Metric, Progress, Result, parse_line
from trialbook_runner.workloads.noop import workload as noop
from trialbook_runner.workloads.pipeline import workload as pipeline
from trialbook_runner.workloads.sweep import Params as SweepParams
from trialbook_runner.workloads.sweep import workload as sweep

PYTHON = sys.executable
REPORTING = """
import os, sys
print('::trialbook {"type": "progress", "done": 1, "total": 4, "unit": "parts"}')
print('::trialbook {"type": "metric", "name": "loss", "value": 0.5, "index": 3}')
print('::trialbook {"type": "row", "kind": "points", "index": 1, "data": {"x": 1}}')
print('::trialbook {"type": "log", "message": "careful", "level": "warning", "logger": "parser", "data": [7]}')
print('::trialbook {"type": "metric"}')
print('::trialbook {"type": "result", "value": {"accuracy": 0.9}}')
print(os.environ["GREETING"], sys.stdin.read(), os.environ["TRIALBOOK_RUN"], os.path.basename(os.getcwd()))
print("complaint", file=sys.stderr)
sys.stdout.write("a" * 70000 + "\\nno end")
os.makedirs("../out", exist_ok=True)
open("../out/b.txt", "w").write("b")
open("../out/a.txt", "w").write("a")
"""


@pytest.mark.integration
async def test_a_command_with_everything(ledger: Ledger, start_runner: Any) -> None:
    await start_runner()
    params = {
        "argv": [PYTHON, "-c", REPORTING], "env": {"GREETING": "hello"}, "cwd": "sub", "stdin": "input",
        "artifacts": ["out/*.txt", "nothing/*"],
    }  # fmt: skip
    run = await ledger.submit("command", params)
    state = await ledger.end(run)
    assert state.status == "completed", state.error
    assert (state.result["exit_code"], state.result["value"]) == (0, {"accuracy": 0.9})
    assert list(state.result["artifacts"]) == ["out/a.txt", "out/b.txt"] == list(state.artifacts)
    records = await ledger.signals(run)
    logs = [(r.get("logger"), r["message"]) for r in records if r["type"] == "run.log.v1"]
    assert ("parser", "careful") in logs
    assert ("stdout", '::trialbook {"type": "metric"}') in logs
    assert ("stdout", f"hello input {run.id} sub") in logs
    assert ("stderr", "complaint") in logs
    assert [len(m) for n, m in logs if n == "stdout" and m.startswith("aaa")] == [65536, 70000 - 65536]
    assert ("stdout", "no end") in logs
    assert [r["done"] for r in records if r["type"] == "run.progress.v1"] == [1.0]
    assert [r["name"] for r in records if r["type"] == "run.metric.v1"] == ["loss"]
    assert [r["data"] for r in records if r["type"] == "run.record.v1"] == [{"x": 1}]


@pytest.mark.integration
async def test_lines_of_a_command_come_live(ledger: Ledger, start_runner: Any) -> None:
    await start_runner()
    script = "import time; print('now', flush=True); time.sleep(600)"
    run = await ledger.submit("command", {"argv": [PYTHON, "-c", script]})
    deadline = time.monotonic() + PATIENCE_S
    while not [r for r in await ledger.signals(run) if r["message"] == "now"]:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    assert (await ledger.state(run)).status == "running"
    await ledger.command(run, c.RequestCancel())
    assert (await ledger.end(run)).status == "cancelled"


@pytest.mark.integration
async def test_commands_that_fail(ledger: Ledger, start_runner: Any) -> None:
    await start_runner()
    cases: list[tuple[dict[str, Any], str]] = [
        ({"argv": ["sh", "-c", "echo why >&2; exit 3"]}, "exit_code"),
        ({"argv": ["sh", "-c", "kill -SEGV $$"]}, "killed_by_signal"),
        ({"argv": ["no-such-program"]}, "command_not_started"),
        ({"argv": ["sleep", "600"], "timeout_s": 0.2}, "timeout"),
        ({"argv": []}, "invalid_params"),
        ({"argv": ["true"], "cwd": "/"}, "invalid_params"),
    ]
    runs = [await ledger.submit("command", params) for params, _ in cases]
    for run, (_, code) in zip(runs, cases, strict=True):
        state = await ledger.end(run)
        assert state.error is not None
        assert state.error["code"] == code
    assert (await ledger.state(runs[0])).error == {
        "code": "exit_code", "detail": "'sh' ended with exit code 3.", "exit_code": 3, "output": "why",
    }  # fmt: skip


def step(name: str, script: str, *needs: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "argv": ["sh", "-c", script], "needs": list(needs), **more}


@pytest.mark.integration
async def test_a_pipeline_runs_branches_in_parallel(ledger: Ledger, start_runner: Any) -> None:
    await start_runner()
    steps = [
        step("join", "cat left right", "left", "right"),
        step("left", "touch l; while [ ! -e r ]; do sleep 0.01; done; echo L > left", "begin"),
        step("right", "touch r; while [ ! -e l ]; do sleep 0.01; done; echo R > right", "begin"),
        step("begin", "echo start"),
    ]
    run = await ledger.submit("pipeline", {"steps": steps}, timeout_s=PATIENCE_S)
    state = await ledger.end(run)
    assert state.status == "completed", state.error
    logs = [(r["step"], r["message"]) for r in await ledger.signals(run, "log")]
    assert logs == [("begin", "start"), ("join", "L"), ("join", "R")]
    assert state.steps["join"].needs == ["left", "right"]


@pytest.mark.integration
async def test_a_failed_step_stops_what_needs_it_and_nothing_else(ledger: Ledger, start_runner: Any) -> None:
    await start_runner()
    steps = [step("bad", "exit 2"), step("after", "true", "bad"), step("last", "true", "after"), step("other", "true")]
    run = await ledger.submit("pipeline", {"steps": steps})
    state = await ledger.end(run)
    assert state.error == {
        "code": "step_failed", "detail": "Failed steps: bad: 'sh' ended with exit code 2. Left out: after, last.",
        "failed": {"bad": "'sh' ended with exit code 2."}, "left_out": ["after", "last"], "completed": ["other"],
    }  # fmt: skip
    assert {name: s.status for name, s in state.steps.items()} == {"bad": "failed", "other": "completed"}


@pytest.mark.integration
async def test_a_resumed_pipeline_repeats_no_completed_step(ledger: Ledger, start_runner: Any, tmp_path: Path) -> None:
    first = await start_runner("a", **SHORT)
    begun = tmp_path / "begun"
    steps = [
        step("make", f"echo made >> {begun}; echo data > made.txt", artifacts=["made.txt"]),
        step("use", f"echo use >> {begun}; while [ ! -e {tmp_path}/go ]; do sleep 0.02; done; cat made.txt", "make"),
    ]
    run = await ledger.submit("pipeline", {"steps": steps})
    while not begun.exists() or "use" not in begun.read_text():
        await asyncio.sleep(0.02)
    first.kill()
    await start_runner("b", **SHORT)
    (tmp_path / "go").touch()
    state = await ledger.end(run)
    assert (state.status, state.attempt) == ("completed", 2), state.error
    assert begun.read_text().split() == ["made", "use", "use"]
    assert [r["message"] for r in await ledger.signals(run, "log") if r["attempt"] == 2] == ["data"]


@pytest.mark.integration
async def test_a_sweep_gathers_its_children(ledger: Ledger, start_runner: Any) -> None:
    await start_runner()
    params = {"workload": "noop", "base": {"sleep_ms": 1}, "grid": {"echo": [1, "two"]}, "points": [{"sleep_ms": -1}]}
    run = await ledger.submit("sweep", params, isolation="task", pool="task")
    state = await ledger.end(run)
    assert state.status == "completed", state.error
    assert state.result["counts"] == {"completed": 2, "failed": 1}
    table = state.result["table"]
    assert [(row["params"], row["status"], row["result"]) for row in table] == [
        ({"echo": 1}, "completed", 1), ({"echo": "two"}, "completed", "two"), ({"sleep_ms": -1}, "failed", None),
    ]  # fmt: skip
    assert table[2]["error"]["code"] == "invalid_params"
    progress = await ledger.signals(run, "progress")
    assert [(r["done"], r["total"]) for r in progress] == [(1.0, 3.0), (2.0, 3.0), (3.0, 3.0)]


@pytest.mark.integration
async def test_a_sweep_reports_metrics_of_processes(ledger: Ledger, start_runner: Any) -> None:
    await start_runner()
    script = 'for i in 1 2 $X; do echo \'::trialbook {"type":"metric","name":"m","value":\'$i\'}\'; done'
    params = {
        "workload": "command", "base": {"argv": ["sh", "-c", script]}, "grid": {"env": [{"X": "5"}, {"X": "6"}]},
        "max_parallel": 2,
    }  # fmt: skip
    run = await ledger.submit("sweep", params, isolation="task", pool="task")
    state = await ledger.end(run)
    assert [row["metrics"] for row in state.result["table"]] == [{"m": 5.0}, {"m": 6.0}]


@pytest.mark.integration
async def test_cancelling_a_sweep_cancels_its_children(ledger: Ledger, start_runner: Any) -> None:
    await start_runner()
    params = {"workload": "sleeper", "points": [{"seconds": 600}] * 6, "max_parallel": 3}
    run = await ledger.submit("sweep", params, isolation="task", pool="task")
    children = await _children(ledger, run, 3)
    await ledger.command(run, c.RequestCancel())
    assert (await ledger.end(run)).status == "cancelled"
    for child in children:
        assert (await ledger.end(child)).status == "cancelled"
    await asyncio.sleep(0.3)
    assert len(await _children(ledger, run, 3)) == 3


@pytest.mark.integration
async def test_a_failing_child_may_stop_the_sweep(ledger: Ledger, start_runner: Any) -> None:
    await start_runner()
    points = [{"seconds": 600}, {"seconds": "many"}, {"seconds": 600}, {"seconds": 600}]
    params = {"workload": "sleeper", "points": points, "max_parallel": 3, "on_failure": "stop"}
    run = await ledger.submit("sweep", params, isolation="task", pool="task")
    state = await ledger.end(run)
    assert state.error is not None
    assert (state.error["code"], state.error["counts"]) == ("child_failed", {"cancelled": 2, "failed": 1})


@pytest.mark.integration
async def test_a_resumed_sweep_repeats_nothing(ledger: Ledger, start_runner: Any, tmp_path: Path) -> None:
    first = await start_runner("a", **SHORT)
    gates = ["", "", *[str(tmp_path / "gate")] * 2]
    points = [{"marks": str(tmp_path / f"m{n}"), "gate": gate} for n, gate in enumerate(gates)]
    params = {"workload": "sleeper", "points": points, "max_parallel": 2}
    run = await ledger.submit("sweep", params, isolation="task", pool="task")
    while not all((tmp_path / name).exists() for name in ("m2", "m3")):
        await asyncio.sleep(0.02)
    first.kill()
    await start_runner("b", **SHORT)
    (tmp_path / "gate").touch()
    state = await ledger.end(run)
    assert (state.status, state.attempt, state.result["counts"]) == ("completed", 2, {"completed": 4})
    assert [len((tmp_path / f"m{n}").read_text().splitlines()) for n in range(4)] == [1, 1, 2, 2]
    assert len(await _children(ledger, run, 4)) == 4


async def _children(ledger: Ledger, parent: Any, count: int) -> list[Any]:
    """Child runs in the ledger, once there are ``count``."""
    from trialbook import subjects
    from trialbook.codec import decode_event, fact_of
    from trialbook.envelope import AggregateId
    from trialbook.log.tail import Tail
    from trialbook.streams import FACTS

    found: dict[str, AggregateId] = {}
    deadline = time.monotonic() + PATIENCE_S
    async with Tail(ledger.nc, FACTS, [subjects.facts_of(kind="run")], 0) as tail:
        while len(found) < count and time.monotonic() < deadline:
            for message in await tail.next(timeout_s=0.2):
                event = decode_event(message.data)
                if event.type == "run.submitted.v1" and fact_of(event).spec.parent == parent.id:
                    found[event.subject] = AggregateId(*event.subject.split("/"))
    return list(found.values())


BAD = [
    (noop, {"sleep_ms": 10_001}),
    (noop, {"other": 1}),
    (command, {"argv": []}),
    (command, {"argv": ["a\0b"]}),
    (command, {"argv": ["true"], "cwd": "../x"}),
    (command, {"argv": ["true"], "artifacts": ["/etc/*"]}),
    (command, {"argv": ["true"], "env": {"A=B": "c"}}),
    (pipeline, {"steps": []}),
    (pipeline, {"steps": [{"name": "a", "argv": ["true"]}, {"name": "a", "argv": ["true"]}]}),
    (pipeline, {"steps": [{"name": "a", "argv": ["true"], "needs": ["b"]}]}),
    (pipeline, {"steps": [{"name": "a", "argv": ["true"], "needs": ["a"]}]}),
    (sweep, {"workload": "noop"}),
    (sweep, {"workload": "noop", "grid": {"a": []}}),
    (sweep, {"workload": "noop", "grid": {"a": list(range(200)), "b": list(range(200))}}),
]


@pytest.mark.parametrize(("workload", "params"), BAD)
def test_wrong_parameters_are_refused(workload: Any, params: dict[str, Any]) -> None:
    with pytest.raises(Invalid) as refusal:
        workload.parse(params)
    assert refusal.value.code == "invalid_params"


@pytest.mark.parametrize("workload", [noop, command, pipeline, sweep])
def test_every_workload_has_a_schema(workload: Any) -> None:
    assert workload.schema()["type"] == "object"
    assert workload.description


def test_a_grid_is_every_combination_in_order() -> None:
    params = SweepParams(workload="w", grid={"a": [1, 2], "b": [3, 4]}, points=[{"c": 5}])
    assert params.sets() == [{"a": 1, "b": 3}, {"a": 1, "b": 4}, {"a": 2, "b": 3}, {"a": 2, "b": 4}, {"c": 5}]


def test_the_line_protocol() -> None:
    assert parse_line(b'::trialbook {"type":"progress","done":1}') == Progress(done=1)
    assert parse_line(b'::trialbook {"type":"metric","name":"m","value":null}') == Metric(name="m", value=None)
    assert parse_line(b'::trialbook {"type":"result","value":[1]}') == Result(value=[1])
    for line in (
        b"",
        b"::trialbook",
        b"::trialbook {",
        b'::trialbook {"type":"x"}',
        b" ::trialbook {}",
        b"::trialbook \xff",
    ):
        assert parse_line(line) is None
    assert parse_line(b'::trialbook {"type":"metric","name":"m","value":1,"other":2}') is None

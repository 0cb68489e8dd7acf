"""The ``script`` workload: an uploaded or inline program behind walls, from submission to verdict."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import msgspec
import pytest

from tests.runner.conftest import Ledger
from trialbook.blobs.nats import NatsBlobStore
from trialbook.domain.run import commands as c
from trialbook_runner.workloads.script import Script, _check_limits

pytestmark = pytest.mark.integration
REPORTING = """
import os, sys
print("hello", os.getcwd())
print("careful", file=sys.stderr)
print('::trialbook {"type": "metric", "name": "loss", "value": 0.5}')
os.makedirs("out/deep")
open("out/a.txt", "w").write(open("inputs/data.txt").read().upper())
open("out/deep/b.txt", "w").write("b")
os.symlink("/etc/passwd", "out/c.txt")
print('::trialbook {"type": "result", "value": {"arguments": %s}}' % len(sys.argv))
"""
# It holds what it could get, as the watch over it may have to wait for the processor.
GREEDY = """
import time
held = []
try:
    for _ in range(99):
        held.append(b"x" * 9_999_999)
except MemoryError:
    pass
time.sleep(60)
"""


async def submit(ledger: Ledger, params: dict[str, Any], **spec: Any) -> Any:
    return await ledger.submit("script", params, isolation="sandbox", **spec)


async def store(ledger: Ledger, content: bytes) -> str:
    async def pieces() -> Any:
        yield content

    await NatsBlobStore(ledger.nc).put(pieces())
    return hashlib.sha256(content).hexdigest()


async def test_an_inline_program_reports_and_leaves_files(ledger: Ledger, start_runner: Any) -> None:
    await start_runner()
    data = await store(ledger, b"data")
    params = {"source": REPORTING, "argv": ["x", "y"], "artifacts": ["out/**/*.txt"]}
    run = await submit(ledger, params, inputs={"data.txt": data})
    state = await ledger.end(run)
    assert state.status == "completed", state.error
    assert state.sandbox == "bwrap"
    result: Any = state.result
    assert (result["exit_code"], result["value"], result["wall"]) == (0, {"arguments": 3}, "bwrap")
    assert result["artifacts"] == {
        "out/a.txt": hashlib.sha256(b"DATA").hexdigest(), "out/deep/b.txt": hashlib.sha256(b"b").hexdigest(),
    }  # fmt: skip
    lines = {(r["logger"], r["message"]) for r in await ledger.signals(run, "log")}
    assert {("stdout", "hello /box"), ("stderr", "careful")} <= lines
    assert ("trialbook", "not handed back: out/c.txt: a link") in lines
    assert [(r["name"], r["value"]) for r in await ledger.signals(run, "metric")] == [("loss", 0.5)]


async def test_an_uploaded_shell_program_and_a_bare_command(ledger: Ledger, start_runner: Any) -> None:
    await start_runner()
    program = await store(ledger, b"echo $1 > made; exit 4\n")
    params = {
        "file": "tool.sh", "language": "shell", "argv": ["word"], "artifacts": ["made"], "allowed_exit_codes": [4]
    }  # fmt: skip
    uploaded = await submit(ledger, params, inputs={"tool.sh": program})
    bare = await submit(ledger, {"argv": ["/bin/cat", "inputs/tool.sh"]}, inputs={"tool.sh": program})
    state = await ledger.end(uploaded)
    result: Any = state.result
    assert (state.status, result["exit_code"]) == ("completed", 4)
    assert result["artifacts"] == {"made": hashlib.sha256(b"word\n").hexdigest()}
    assert (await ledger.end(bare)).status == "completed"


FAILURES: list[tuple[dict[str, Any], str, str]] = [
    ({"source": "raise SystemExit(3)"}, "exit_code", "exit code 3"),
    ({"source": "import os; os.kill(os.getpid(), 11)"}, "killed_by_signal", "SIGSEGV"),
    ({"source": "import time; time.sleep(600)", "limits": {"wall_s": 0.3}}, "timeout", "0.3 s"),
    ({"source": GREEDY, "limits": {"memory_bytes": 90_000_000}}, "memory_limit", ""),
    ({"source": "print('x' * 99999)", "limits": {"output_bytes": 1000}}, "output_limit", "1000 bytes"),
    ({"source": "import socket; socket.create_connection(('127.0.0.1', 9))"}, "exit_code", "exit code 1"),
    ({"argv": ["no-such-program"]}, "sandbox_error", "no-such-program"),
    ({"file": "missing.py"}, "unknown_input", "missing.py"),
    ({"source": "1", "limits": {"memory_bytes": 1 << 60}}, "limits_too_large", "exceed"),
    ({"source": "1", "file": "a"}, "invalid_params", "not both"),
    ({"source": "1", "artifacts": ["../x"]}, "invalid_params", "inside the working directory"),
    ({}, "invalid_params", "give a source"),
]


async def test_every_cause_is_the_run_s_error(ledger: Ledger, start_runner: Any) -> None:
    await start_runner()
    runs = [await submit(ledger, params) for params, _, _ in FAILURES]
    for run, (params, code, part) in zip(runs, FAILURES, strict=True):
        state = await ledger.end(run)
        assert state.status == "failed", params
        assert state.error is not None
        assert state.error["code"] == code, state.error
        assert part in state.error["detail"], state.error


async def test_cancelling(ledger: Ledger, start_runner: Any) -> None:
    await start_runner()
    run = await submit(ledger, {"source": "print('up')\nimport time\ntime.sleep(600)"})
    while not await ledger.signals(run, "log"):
        await asyncio.sleep(0.05)
    await ledger.command(run, c.RequestCancel())
    assert (await ledger.end(run)).status == "cancelled"


async def test_without_walls_only_when_told_so(ledger: Ledger, start_runner: Any) -> None:
    await start_runner(TRIALBOOK_SANDBOX="none")
    state = await ledger.end(await submit(ledger, {"source": "print(1)"}))
    assert (state.status, state.sandbox) == ("completed", "none")


def test_limits_leave_something_to_the_machine() -> None:
    script = msgspec.convert({"source": "1"}, Script)
    _check_limits(script.limits)

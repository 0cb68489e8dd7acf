"""What honest programs get, and what callers may rely on."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import time
from pathlib import Path

import msgspec
import pytest

from tests.security.sandbox.conftest import HOSTILE, MIB, SMALL, Run
from tests.security.sandbox.test_parts import running
from trialbook_runner.sandbox import Limits, Sandbox, SandboxUnavailable, Stream, Verdict
from trialbook_runner.sandbox import sandbox as module
from trialbook_runner.sandbox import start as starting
from trialbook_runner.sandbox.bwrap import python_gate_command

pytestmark = pytest.mark.integration


async def test_files_inputs_environment(run: Run, workdir: Path, place: Path, python: str) -> None:
    (workdir / "kept").mkdir()
    (workdir / "kept" / "a.txt").write_text("before")
    data = place / "data.csv"
    data.write_text("1,2\n")
    program = """
import os
print(open("inputs/data.csv").read(), open("kept/a.txt").read())
open("kept/a.txt", "w").write("after")
open("b", "w").write("new")
os.chmod("b", 0o755)
print(sorted(os.environ), os.path.samefile(os.environ["HOME"], "."), os.getuid() != 0)
"""
    ran = await run([python, "-c", program], inputs={"data.csv": data})
    assert ran.verdict.ok, ran
    names = ["HOME", "LANG", "PATH", "TMPDIR", "TRIALBOOK_INPUTS", "USER"]
    assert ran.stdout == f"1,2\n before\n{[*sorted(names)]} True True\n"
    assert (workdir / "kept" / "a.txt").read_text() == "after"
    assert (workdir / "b").stat().st_uid == os.geteuid()
    assert sorted(path.name for path in workdir.iterdir()) == ["b", "kept"]


async def test_an_input_that_only_the_runner_may_read(sandbox: Sandbox, run: Run, place: Path, wall: str) -> None:
    data = place / "data.txt"
    data.write_text("private")
    data.chmod(0o600)
    ran = await run(["/bin/cat", "inputs/data.txt"], inputs={"data.txt": data})
    assert (ran.stdout == "private") == (wall == "bwrap" or os.geteuid() != 0), ran
    assert data.stat().st_mode & 0o777 == 0o600


async def test_the_verdict_tells_exit_codes_and_signals(run: Run) -> None:
    assert (await run(["/bin/sh", "-c", "exit 7"])).verdict.code == 7
    killed = (await run(["/bin/sh", "-c", "kill -SEGV $$"])).verdict
    assert (killed.cause, killed.signal, killed.code) == ("signalled", signal.SIGSEGV, None)


async def test_what_cannot_be_executed(run: Run, workdir: Path) -> None:
    for command in ("no-such-program", "./not-executable"):
        (workdir / "not-executable").write_text("x")
        ran = await run([command])
        assert ran.verdict.cause == "sandbox_error"
        assert command in ran.verdict.detail
        assert sorted(path.name for path in workdir.iterdir()) == ["not-executable"]


async def test_a_directory_that_does_not_fit(run: Run, workdir: Path, wall: str) -> None:
    (workdir / "big").write_bytes(b"x" * (20 * MIB))
    ran = await run(["/bin/sh", "-c", "sleep 5"])
    assert ran.verdict.cause == "disk_limit", ran


@pytest.mark.parametrize(
    ("argv", "env"), [([], {}), (["a\0b"], {}), (["a"], {"": "x"}), (["a"], {"A=B": "x"}), (["a" * 200_000], {})]
)
async def test_what_cannot_be_passed_on(
    sandbox: Sandbox, workdir: Path, argv: list[str], env: dict[str, str]
) -> None:  # fmt: skip
    with pytest.raises(ValueError, match=r"command|NUL|variable|exceed"):
        await sandbox.run(argv, workdir=workdir, limits=SMALL, env=env, on_output=_ignore)


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "a\nb", "a" * 201])
async def test_names_of_inputs(run: Run, place: Path, name: str) -> None:
    with pytest.raises(ValueError, match="no name for an input"):
        await run(["/bin/true"], inputs={name: place})


async def test_variables_cannot_reach_the_gate(run: Run, workdir: Path, sandbox: Sandbox) -> None:
    """What interpreters and loaders read from the environment takes effect behind the walls only."""
    hooks = {"LD_PRELOAD": "/nowhere.so", "PERL5OPT": "-Mnowhere", "PYTHONHOME": "/nowhere", "BASH_ENV": "/nowhere"}
    seen: list[bytes] = []

    async def on_output(_: Stream, data: bytes) -> None:
        seen.append(data)

    verdict = await sandbox.run(["/bin/echo", "x"], workdir=workdir, limits=SMALL, env=hooks, on_output=on_output)
    assert verdict.ok, (verdict, seen)


async def test_a_slow_reader_slows_the_program_down(sandbox: Sandbox, workdir: Path) -> None:
    seen = 0

    async def on_output(_: Stream, data: bytes) -> None:
        nonlocal seen
        seen += len(data)
        await asyncio.sleep(0.02)

    script = "i=0; while [ $i -lt 300 ]; do printf '%8000s'; i=$((i+1)); done"
    began = time.monotonic()
    verdict = await sandbox.run(["/bin/sh", "-c", script], workdir=workdir, limits=SMALL, on_output=on_output)
    assert verdict.ok, verdict
    assert seen == verdict.output_bytes == 2_400_000
    assert time.monotonic() - began > 0.5


async def test_a_reader_that_fails_ends_the_program(sandbox: Sandbox, workdir: Path) -> None:
    async def on_output(_: Stream, data: bytes) -> None:
        raise RuntimeError(data.decode())

    limits = msgspec.structs.replace(SMALL, wall_s=600)  # longer than any test may take
    with pytest.raises(RuntimeError, match="hello"):
        await sandbox.run(
            ["/bin/sh", "-c", "echo hello; sleep 600"], workdir=workdir, limits=limits, on_output=on_output
        )  # fmt: skip


async def test_a_cancelled_task_ends_the_program(sandbox: Sandbox, workdir: Path) -> None:
    up = asyncio.Event()

    async def on_output(_stream: Stream, _data: bytes) -> None:
        up.set()

    seconds = f"77{os.getpid()}"  # tells it from those of other tests at the same time
    command = ["/bin/sh", "-c", f"echo up; sleep {seconds}"]
    task = asyncio.create_task(sandbox.run(command, workdir=workdir, limits=Limits(), on_output=on_output))
    async with asyncio.timeout(60):
        await up.wait()
    await _cancelled(task)
    assert not running(seconds.encode())


async def test_a_task_that_is_cancelled_while_it_starts_leaves_nothing(sandbox: Sandbox, workdir: Path) -> None:
    seconds = f"78{os.getpid()}"
    for steps in range(40):  # of the event loop; the program is there after some
        command = ["/bin/sleep", seconds]
        task = asyncio.create_task(sandbox.run(command, workdir=workdir, limits=Limits(), on_output=_ignore))
        for _ in range(steps):
            await asyncio.sleep(0)
        await _cancelled(task)
        assert not running(seconds.encode()), steps


async def _cancelled(task: asyncio.Task[Verdict]) -> None:
    task.cancel()
    async with asyncio.timeout(60):
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_polite_program_may_clean_up(run: Run, workdir: Path) -> None:
    limits = msgspec.structs.replace(SMALL, wall_s=2, grace_s=30)
    script = "trap 'echo bye > last; exit 3' TERM; while :; do sleep 0.05; done"
    ran = await run(["/bin/sh", "-c", script], limits=limits)
    assert ran.verdict.cause == "timeout"
    assert ran.verdict.seconds < 30, "nobody waits for the rest of the grace"
    assert (workdir / "last").read_text() == "bye\n"


async def test_nothing_is_left_open(run: Run) -> None:
    await run(["/bin/true"])
    gc.collect()  # what earlier tests left to it must not be closed meanwhile
    before = sorted(path.name for path in Path("/proc/self/fd").iterdir())
    for _ in range(3):
        await run(["/bin/true"])
        await run(["no-such-program"])
    assert sorted(path.name for path in Path("/proc/self/fd").iterdir()) == before


@pytest.mark.parametrize("name", ["trace.py", "privileges.py", "network.py"])
async def test_without_perl(run: Run, python: str, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(module, "gate_command", python_gate_command)
    ran = await run([python, "-c", (HOSTILE / name).read_text(), str(os.getpid()), "2", "/nowhere", "nobody"])
    assert ran.verdict.ok, ran
    assert not ran.escapes


async def test_bubblewrap_without_landlock(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first wall stands alone: whatever a program may do to itself, it gets no hold of another process."""
    monkeypatch.setattr(starting, "abi", lambda _machine: 0)
    seen = bytearray()

    async def on_output(_: Stream, data: bytes) -> None:
        seen.extend(data)

    program = (HOSTILE / "trace.py").read_text()
    sandbox = Sandbox(choice="bwrap")
    argv = [sys.executable, "-c", program, str(os.getpid())]
    verdict = await sandbox.run(argv, workdir=workdir, limits=SMALL, on_output=on_output)
    assert verdict.ok, seen
    escapes = [line for line in seen.decode().splitlines() if "ESCAPED" in line]
    assert not [line for line in escapes if "/proc/self/" not in line]


async def test_none_only_by_an_explicit_choice(workdir: Path) -> None:
    for choice in ("", "bwrap", "landlock"):
        assert Sandbox(choice=choice).probe().wall != "none"
    verdict = await Sandbox(choice="none").run(["/bin/true"], workdir=workdir, limits=SMALL, on_output=_ignore)
    assert verdict.ok
    assert verdict.wall == "none"


async def test_the_programs_are_hostile(workdir: Path) -> None:
    """Without walls the attempts succeed; so their failure elsewhere means something."""
    seen = bytearray()

    async def on_output(_: Stream, data: bytes) -> None:
        seen.extend(data)

    program = (HOSTILE / "network.py").read_text()
    argv = [sys.executable, "-c", program, "1", "9", "/nowhere", "nobody"]
    await Sandbox(choice="none").run(argv, workdir=workdir, limits=SMALL, on_output=on_output)
    assert b"ESCAPED: UDP" in seen


async def test_an_unknown_choice_is_refused(workdir: Path) -> None:
    sandbox = Sandbox(choice="gvisor")
    assert sandbox.probe().wall is None
    with pytest.raises(SandboxUnavailable, match="gvisor"):
        await sandbox.run(["/bin/true"], workdir=workdir, limits=SMALL, on_output=_ignore)


async def _ignore(_stream: Stream, _data: bytes) -> None:
    pass

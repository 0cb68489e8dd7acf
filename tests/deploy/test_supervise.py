"""Keeping programs running: small real programs, a real supervisor."""

from __future__ import annotations

import asyncio
import io
import itertools
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from trialbook_deploy import supervise
from trialbook_deploy.child import Backoff, ChildSpec, describe
from trialbook_deploy.errors import DeployError
from trialbook_deploy.output import PrefixedOutput
from trialbook_deploy.supervise import Supervisor

pytestmark = pytest.mark.integration
PATIENCE_S = 40.0
NEVER_S = 1000.0


class Room:
    """A supervisor, what it wrote, and how to give it programs."""

    def __init__(self, lifeline: int, backoff: Backoff) -> None:
        self.stream = io.StringIO()
        self.output = PrefixedOutput(self.stream, ["a", "long-name"])
        self.supervisor = Supervisor(self.output, lifeline, backoff=backoff)

    def program(self, name: str, source: str, **options: object) -> ChildSpec:
        argv = (sys.executable, "-S", "-c", source)
        env = {"PATH": os.environ["PATH"], "PYTHONUNBUFFERED": "1"}
        return ChildSpec(name=name, argv=argv, env=env, **options)  # type: ignore[arg-type]

    async def starting(self) -> None:
        """Check the start until it fails."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                self.supervisor.check_starting()
                await asyncio.sleep(0.01)

    def lines(self) -> list[str]:
        return self.stream.getvalue().splitlines()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                await asyncio.sleep(0.01)


@pytest.fixture
def steady_s() -> float:
    """A program that lasts so long is steady; by default none, however long the machine takes to start it."""
    return NEVER_S


@pytest.fixture
async def room(steady_s: float) -> AsyncIterator[Room]:
    read_end, write_end = os.pipe()
    made = Room(read_end, Backoff(first_seconds=0.05, limit_seconds=0.2, steady_seconds=steady_s))
    yield made
    await made.supervisor.stop(grace_seconds=2)
    made.output.close()
    os.close(read_end)
    os.close(write_end)


async def test_every_line_carries_its_source(room: Room) -> None:
    source = (
        "import sys, time; print('out'); print('err', file=sys.stderr); print('no newline', end=''); time.sleep(60)"
    )
    child = room.supervisor.start(room.program("a", source.replace("end=''", "end='', flush=True")))
    room.supervisor.start(room.program("long-name", "print('there'); import time; time.sleep(60)"))
    await room.until(lambda: len(room.lines()) == 3)
    assert {"a         | out", "a         | err", "long-name | there"} == set(room.lines())
    child.stop()
    await room.until(lambda: "a         | no newline" in room.lines())


async def test_hidden_lines_are_kept_for_the_error_only(room: Room) -> None:
    source = "import time; print('quiet'); print('loud'); time.sleep(60)"
    child = room.supervisor.start(room.program("a", source, show=lambda line: line != "quiet"))
    await room.until(lambda: room.lines() == ["a         | loud"])
    assert list(child.recent) == ["quiet", "loud"]


async def test_a_line_without_end_is_cut(room: Room) -> None:
    source = "import sys, time; sys.stdout.write('x' * 300_000 + '\\nlast\\n'); sys.stdout.flush(); time.sleep(60)"
    child = room.supervisor.start(room.program("a", source))
    await room.until(lambda: "a         | last" in room.lines())
    assert len(child.recent) > 2
    assert "".join(list(child.recent)[:-1]) == "x" * 300_000


async def test_what_ends_is_started_again_and_waits_longer_each_time(room: Room, tmp_path: Path) -> None:
    log = tmp_path / "starts"
    source = f"import time; open({str(log)!r}, 'a').write(f'{{time.time()}}\\n')"
    child = room.supervisor.start(room.program("a", source))
    await room.until(lambda: log.exists() and len(log.read_text().splitlines()) >= 5)
    starts = [float(line) for line in log.read_text().splitlines()]
    waits = [later - earlier for earlier, later in itertools.pairwise(starts)]
    assert all(wait >= least for wait, least in zip(waits, (0.05, 0.1, 0.2, 0.2), strict=False))
    assert child.failures >= 4
    assert "a ended with exit code 0; starting it again in 0.1 s" in room.stream.getvalue()


@pytest.mark.parametrize("steady_s", [3.0])
async def test_a_steady_time_forgets_failures(room: Room, tmp_path: Path) -> None:
    marker = tmp_path / "tries"
    source = (
        f"import pathlib, sys, time; p = pathlib.Path({str(marker)!r}); n = len(p.read_text()) if p.exists() else 0; "
        "p.write_text('x' * (n + 1)); sys.exit(3) if n < 3 else time.sleep(3.1)"
    )
    child = room.supervisor.start(room.program("a", source))
    await room.until(lambda: child.failures == 3)
    assert child.last_code == 3
    await room.until(lambda: child.failures == 1)
    assert child.last_code == 0


async def test_a_start_that_keeps_failing_is_an_error_with_the_last_lines(room: Room) -> None:
    room.supervisor.start(room.program("a", "raise SystemExit('no database')"))
    with pytest.raises(DeployError, match=r"a ended with exit code 1, \d+ times in a row[^$]*no database"):
        await room.starting()


async def test_wrong_settings_end_a_start_at_once(room: Room) -> None:
    room.supervisor.start(room.program("a", f"import sys; print('no such profile'); sys.exit({os.EX_CONFIG})"))
    with pytest.raises(DeployError, match=r"a ended with exit code 78\. Its last lines:\n  no such profile"):
        await room.starting()


async def test_a_program_that_does_not_exist_is_an_error(room: Room) -> None:
    room.supervisor.start(ChildSpec(name="a", argv=("/nonexistent",), env={}))
    with pytest.raises(DeployError, match="a ended with exit code 1"):
        await room.starting()


async def test_stages_stop_one_after_the_other_and_the_deaf_are_killed(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervise, "STAGE_RESERVE_SECONDS", 2.0)  # each has two seconds at least to end in order
    polite = "import signal, sys; signal.signal(15, lambda *_: (print('bye'), sys.exit())); print('up'); signal.pause()"
    deaf = "import signal; signal.signal(15, signal.SIG_IGN); print('up')\nwhile True: signal.pause()"
    room.supervisor.start(room.program("last", polite, stage=9))
    room.supervisor.start(room.program("deaf", deaf, stage=1))
    room.supervisor.start(room.program("first", polite, stage=0))
    await room.until(lambda: sum(line.endswith("| up") for line in room.lines()) == 3)
    started = time.monotonic()
    await room.supervisor.stop(grace_seconds=8)
    assert time.monotonic() - started >= 6, "it had its time"
    room.output.close(PATIENCE_S)
    said = [line.replace(" ", "") for line in room.lines() if "bye" in line or "killed" in line]
    assert said == ["first|bye", "deafdidnotendintimeandiskilled", "last|bye"]
    assert room.supervisor.pids() == {}


async def test_a_stopped_program_is_continued_to_end(room: Room) -> None:
    room.supervisor.start(room.program("a", "import os, signal; print('up'); os.kill(os.getpid(), signal.SIGSTOP)"))
    await room.until(lambda: "a         | up" in room.lines())
    [pid] = room.supervisor.pids().values()
    await room.until(lambda: ") T " in Path(f"/proc/{pid}/stat").read_text())
    await room.supervisor.stop(grace_seconds=PATIENCE_S)
    room.output.close(PATIENCE_S)
    assert room.lines() == ["a         | up"], "it was not killed"


def test_backoff_doubles_up_to_its_limit() -> None:
    backoff = Backoff()
    assert [backoff.delay_seconds(n) for n in (1, 2, 3, 7, 8, 10_000)] == [0.1, 0.2, 0.4, 6.4, 10.0, 10.0]


def test_an_end_is_described() -> None:
    assert describe(2) == "ended with exit code 2"
    assert describe(-9) == "was ended by SIGKILL"

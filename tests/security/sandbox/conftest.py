from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Protocol

import msgspec
import pytest

from trialbook_runner.sandbox import Limits, Sandbox, Stream, Verdict

HOSTILE = Path(__file__).with_name("hostile")
MIB = 1024**2
SMALL = Limits(
    wall_s=60, memory_bytes=160 * MIB, processes=24, disk_bytes=16 * MIB, files=2000, tmp_bytes=8 * MIB,
    output_bytes=4 * MIB, grace_s=0.2,
)  # fmt: skip


class Ran(msgspec.Struct):
    verdict: Verdict
    stdout: str
    stderr: str
    workdir: Path

    @property
    def escapes(self) -> list[str]:
        return [line for line in (self.stdout + self.stderr).splitlines() if "ESCAPED" in line]


class Run(Protocol):
    def __call__(
        self,
        argv: list[str],
        *,
        limits: Limits = SMALL,
        cancel: asyncio.Event | None = None,
        inputs: dict[str, Path] | None = None,
    ) -> Awaitable[Ran]: ...


@pytest.fixture(params=["bwrap", "landlock"])
def wall(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def sandbox(wall: str) -> Sandbox:
    sandbox = Sandbox(choice=wall)
    assert sandbox.wall() == wall
    return sandbox


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that other users may pass through, as a program of another user has to without a mount namespace."""
    path = Path(tempfile.mkdtemp(prefix="trialbook-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def workdir(place: Path) -> Path:
    path = place / "own"
    path.mkdir()
    return path


@pytest.fixture
def run(sandbox: Sandbox, workdir: Path) -> Run:
    async def run(
        argv: list[str],
        *,
        limits: Limits = SMALL,
        cancel: asyncio.Event | None = None,
        inputs: dict[str, Path] | None = None,
    ) -> Ran:
        seen: dict[Stream, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}

        async def on_output(stream: Stream, data: bytes) -> None:
            seen[stream] += data

        verdict = await sandbox.run(
            argv, workdir=workdir, limits=limits, inputs_readonly=inputs, on_output=on_output, cancel=cancel
        )
        return Ran(verdict, seen["stdout"].decode(errors="replace"), seen["stderr"].decode(errors="replace"), workdir)

    return run


@pytest.fixture
def python(wall: str) -> str:
    """An interpreter that programs can execute: without a mount namespace it has to be readable for every user."""
    if wall == "bwrap" or os.geteuid() != 0 or _for_everybody(Path(sys.executable).resolve()):
        return sys.executable
    return "/usr/bin/python3"


@pytest.fixture
def hostile(run: Run, workdir: Path, python: str) -> Callable[..., Awaitable[Ran]]:
    """Runs one of the hostile programs."""

    async def hostile(name: str, *arguments: str, limits: Limits = SMALL, inputs: dict[str, Path] | None = None) -> Ran:
        shutil.copy(HOSTILE / name, workdir / "program.py")
        return await run([python, "program.py", *arguments], limits=limits, inputs=inputs)

    return hostile


def _for_everybody(path: Path) -> bool:
    return all(parent.stat().st_mode & 0o001 for parent in path.parents)

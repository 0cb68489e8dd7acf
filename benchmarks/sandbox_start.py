"""What a sandbox costs over a bare process: ``python -m benchmarks.sandbox_start [samples]``.

Starts the same small programs bare and behind each wall, alternately, and prints medians in milliseconds. On a machine
that others use it waits for quiet moments (most of a core idle) and says how many of its samples were taken in one;
``chrt --fifo 10`` before it takes precedence over the others.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from trialbook_runner.sandbox import Limits, Sandbox, Stream

PROGRAMS = {"shell": ["/bin/sh", "-c", ":"], "python": [sys.executable, "-c", "pass"]}
QUIET_WINDOW_S = 0.05
QUIET_BUSY_S = 0.02
PATIENCE_S = 2.0


def busy_s() -> float:
    """Seconds that all processors together have been busy since the machine started."""
    fields = [int(text) for text in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    return (sum(fields[:8]) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")


async def quiet() -> bool:
    """Wait for a quiet moment; False when none came."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        before = busy_s()
        await asyncio.sleep(QUIET_WINDOW_S)
        if busy_s() - before <= QUIET_BUSY_S:
            return True
    return False


async def bare(argv: list[str]) -> None:
    """Start and wait as any asyncio program would."""
    process = await asyncio.create_subprocess_exec(
        *argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    await process.communicate()


async def timed_ms(work: Awaitable[None]) -> float:
    """Milliseconds until it is done."""
    began = time.perf_counter()
    await work
    return (time.perf_counter() - began) * 1000


def behind(wall: str, workdir: Path) -> Callable[[list[str]], Awaitable[None]]:
    """A function that runs a program behind a wall."""
    sandbox = Sandbox(choice=wall)
    sandbox.wall()

    async def ignore(_stream: Stream, _data: bytes) -> None:
        return

    async def run(argv: list[str]) -> None:
        verdict = await sandbox.run(argv, workdir=workdir, limits=Limits(), on_output=ignore)
        if not verdict.ok:
            raise RuntimeError(verdict.detail or verdict.cause)

    return run


class Pairs:
    """Milliseconds of bare and of walled starts, taken alternately; ``calm`` of them in quiet moments."""

    def __init__(self) -> None:
        self.bare: list[float] = []
        self.walled: list[float] = []
        self.calm = 0

    @property
    def over(self) -> float:
        """The median of the differences."""
        return statistics.median(walled - bare for bare, walled in zip(self.bare, self.walled, strict=True))


async def sample(wall: str, workdir: Path, argv: list[str], samples: int) -> Pairs:
    """Start a program bare and behind a wall, so many times. Raises ``RuntimeError`` when the wall does not stand."""
    run, pairs = behind(wall, workdir), Pairs()
    await run(argv)  # what is found out about the machine only once
    for _ in range(samples):
        pairs.calm += await quiet()
        pairs.bare.append(await timed_ms(bare(argv)))
        pairs.walled.append(await timed_ms(run(argv)))
    return pairs


async def main(samples: int) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)  # noqa: PTH101, S103 -- programs are other users
        for name, argv in PROGRAMS.items():
            for wall in ("bwrap", "landlock", "none"):
                try:
                    pairs = await sample(wall, Path(directory), argv, samples)
                except RuntimeError as error:
                    print(f"{name:7} {wall:9} not possible here: {error}")
                    continue
                alone, walled = statistics.median(pairs.bare), statistics.median(pairs.walled)
                print(
                    f"{name:7} {wall:9} bare {alone:6.1f} ms  walled {walled:6.1f} ms  over {pairs.over:6.1f} ms"
                    f"  least {min(pairs.walled):5.1f} ms  ({pairs.calm}/{samples} samples in quiet moments)"
                )


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 40))

"""S1: milliseconds that the sandbox adds to starting a program, behind this machine's best wall, the median.

The same programs are started bare and walled, alternately, in quiet moments as far as there are any (see
``benchmarks.sandbox_start``, which shows every wall). The value is the shell's; further figures: ``python``, the same
for an interpreter; ``walled`` and ``walled_least``, the whole start of the shell; ``quiet``, the share of samples that
were taken in a quiet moment. Fails where the machine has no wall.

The bare part: starting the shell and waiting for it, as any asyncio program would.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median

from benchmarks.model import Measure, Options, Sample, Target
from benchmarks.sandbox_start import PROGRAMS, Pairs, sample
from trialbook_runner.sandbox import Sandbox

TARGET = Target(key="S1", title="sandbox start over a bare process, p50", unit="ms", target=15, better="less")


def best_wall() -> str:
    """The wall that programs run behind. Raises ``SandboxUnavailable``, and ``RuntimeError`` when it holds nothing."""
    wall = Sandbox().wall()
    if wall == "none":
        raise RuntimeError("programs run without a wall on this machine")
    return wall


@asynccontextmanager
async def prepare(options: Options) -> AsyncIterator[Measure]:
    """A directory to run in."""
    count, wall = options.size(40, 10), best_wall()
    with tempfile.TemporaryDirectory(prefix="trialbook-bench-") as directory:
        os.chmod(directory, 0o755)  # noqa: PTH101, S103 -- programs are other users

        async def measure() -> Sample:
            taken: dict[str, Pairs] = {}
            for name, argv in PROGRAMS.items():
                taken[name] = await sample(wall, Path(directory), argv, count)
            shell = taken["shell"]
            more = {
                "python": taken["python"].over, "walled": median(shell.walled), "walled_least": min(shell.walled),
                "quiet": sum(pairs.calm for pairs in taken.values()) / (count * len(taken)),
            }  # fmt: skip
            return Sample(value=shell.over, bare=median(shell.bare), more=more)

        yield measure

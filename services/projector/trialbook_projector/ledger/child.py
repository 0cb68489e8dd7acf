"""A verification in a process of its own with the lowest priority, so that it takes time from nobody.

``python -m trialbook_projector.ledger.child``: the task comes as JSON on standard input; lines of JSON go out,
``{"checked": n}`` as it goes on and ``{"outcome": ...}`` at the end.
"""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE

import msgspec
import uvloop

from trialbook.errors import Unavailable
from trialbook.log.connect import close, connect
from trialbook_projector.ledger.verifying import Outcome, Progress, Task, verify

NICE = 19
STEP = 50_000
LINE_BYTES = 4 * 1024 * 1024


class Line(msgspec.Struct, omit_defaults=True):
    """What the child says."""

    checked: int = 0
    outcome: Outcome | None = None


async def verify_apart(task: Task, progress: Progress) -> Outcome:
    """Run ``verify`` in a child. Raises ``Unavailable`` when it ends without an outcome."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", __name__, stdin=PIPE, stdout=PIPE, limit=LINE_BYTES
    )
    assert child.stdin is not None, "it has pipes"
    assert child.stdout is not None, "it has pipes"
    outcome: Outcome | None = None
    try:
        child.stdin.write(msgspec.json.encode(task))
        child.stdin.close()
        async for text in child.stdout:
            line = msgspec.json.decode(text, type=Line)
            outcome = line.outcome
            if outcome is None:
                progress(line.checked)
        await child.wait()
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if outcome is None:
        raise Unavailable("verification_failed", f"The verification ended with exit code {child.returncode}.")
    return outcome


async def _serve(task: Task) -> None:
    told = 0

    def progress(checked: int) -> None:
        nonlocal told
        if checked - told >= STEP:
            told = checked
            _say(Line(checked=checked))

    nc = await connect(task.url, name="projector-verify")
    try:
        _say(Line(outcome=await verify(nc, task, progress)))
    finally:
        await close(nc)


def _say(line: Line) -> None:
    sys.stdout.write(msgspec.json.encode(line).decode() + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    os.nice(NICE)
    uvloop.run(_serve(msgspec.json.decode(sys.stdin.buffer.read(), type=Task)))

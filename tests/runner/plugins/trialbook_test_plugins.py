"""Workloads that misbehave in every way that the runner must survive."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from trialbook import Context, Failure, workload


class Where(msgspec.Struct):
    """A file that outlives the attempt, to leave marks in."""

    marks: str = ""
    seconds: float = 0.0
    count: int = 0
    gate: str = ""
    """A file whose existence is waited for, where one is named."""


def mark(params: Where, text: str) -> None:
    with Path(params.marks).open("a") as stream:
        stream.write(text + "\n")


@workload("busy", params=Where)
def busy(_ctx: Context, params: Where) -> int:
    """Compute without ever looking up."""
    if params.marks:
        mark(params, str(os.getpid()))
    number = 0
    while True:
        number += 1


@workload("sleeper", params=Where)
async def sleeper(ctx: Context, params: Where) -> int:
    """Sleep, leaving its attempt and process id, then wait for the gate."""
    if params.marks:
        mark(params, f"{ctx.attempt} {os.getpid()}")
    await asyncio.sleep(params.seconds)
    while params.gate and not Path(params.gate).exists():
        await asyncio.sleep(0.02)
    return ctx.attempt


@workload("lines", params=Where)
def lines(ctx: Context, params: Where) -> int:
    """Log ``count`` numbered lines, spread over ``seconds``."""
    pause = params.seconds / max(1, params.count // 1000)
    for number in range(params.count):
        ctx.log(str(number))
        if params.seconds and number % 1000 == 999:
            time.sleep(pause)
    return params.count


@workload("steps", params=Where)
async def steps(ctx: Any, params: Where) -> dict[str, Any]:
    """Three steps and a checkpoint after each; waits in the second until a file ``go`` exists beside the marks, and
    leaves a file ``pausing`` there once it is told to pause.
    """
    seen = dict(ctx.checkpoint_data or {})

    async def work(name: str) -> str:
        mark(params, f"{name} {ctx.attempt}")
        if name == "second":
            while not Path(params.marks + ".go").exists():
                if ctx.pausing:
                    Path(params.marks + ".pausing").touch()
                await asyncio.sleep(0.02)
        return f"{name}!"

    for name in ("first", "second", "third"):
        seen[name] = await ctx.step(name, lambda name=name: work(name))
        await ctx.checkpoint(seen)
    return seen


@workload("flaky", params=Where)
def flaky(ctx: Context, params: Where) -> int:
    """Fail until attempt ``count``."""
    if ctx.attempt < params.count:
        raise Failure("not_this_time", "Try once more.", tried=ctx.attempt)
    return ctx.attempt


@workload("crash", params=Where)
def crash(_ctx: Context, params: Where) -> None:
    """End without a verdict: by a signal (``count``) or an exit code."""
    if params.count:
        os.kill(os.getpid(), params.count)
        time.sleep(5)
    os._exit(3)


@workload("raises")
def raises(_ctx: Context, _params: Any) -> None:
    """An ordinary bug."""
    raise ZeroDivisionError("one divided by none")


SLEEP = "import time; time.sleep(600)"
PARENT = """
import subprocess, sys, time
ours, escaped = [subprocess.Popen([sys.argv[1], "-c", sys.argv[2]], start_new_session=s) for s in (False, True)]
print(ours.pid, escaped.pid, flush=True)
time.sleep(600)
"""


@workload("forker", params=Where)
def forker(_ctx: Context, params: Where) -> None:
    """Start a process in the group, one that leaves the group, and one of each below those; wait for the gate."""
    pids = [os.getpid()]
    for leaves in (False, True):
        child = subprocess.Popen(
            [sys.executable, "-c", PARENT, sys.executable, SLEEP], start_new_session=leaves, stdout=subprocess.PIPE
        )
        assert child.stdout is not None
        pids += [child.pid, *map(int, child.stdout.readline().split())]
    mark(params, " ".join(map(str, pids)))
    while not Path(params.gate).exists():
        time.sleep(0.02)


@workload("everything", params=Where)
async def everything(ctx: Context, _params: Where) -> dict[str, Any]:
    """Use the whole context."""
    for name, path in ctx.inputs.items():
        ctx.log(path.read_text(), logger=name, level="debug", data={"path": path.name})
    sys.stdout.write("printed\n")
    ctx.metric("loss", 0.5, index=1, unit="nat")
    ctx.metric("loss", float("nan"), index=2)
    ctx.progress(1, 2, unit="steps", message="half")
    ctx.row("points", 1, {"x": 1}, row_id="p1")
    (ctx.workdir / "file.txt").write_text("content")
    first = await ctx.artifact("file.txt", Path("file.txt"))
    second = await ctx.artifact("bytes.bin", b"\x00\x01")
    await ctx.checkpoint({"big": "x" * 100_000})
    environment = sorted(name for name in os.environ if name.startswith("TRIALBOOK_"))
    return {
        "artifacts": [first, second], "random": ctx.random.random(), "big": "y" * 100_000, "environment": environment,
        "stdin": sys.stdin.read() if sys.stdin else "", "workdir": str(ctx.workdir),
    }  # fmt: skip


@workload("blocking")
def blocking(ctx: Any, _params: Any) -> list[Any]:
    """The sync form of the context's asynchronous methods."""
    values = [ctx.step(f"s{n}", lambda n=n: {"n": n}) for n in range(3)]
    ctx.checkpoint({"values": values})
    ctx.artifact("values.json", msgspec.json.encode(values))
    return values


@workload("walled", isolation="sandbox")
def walled(_ctx: Context, _params: Any) -> None:
    """Wants a sandbox."""


@workload("slow-inline", isolation="inline")
def slow_inline(_ctx: Context, _params: Any) -> str:
    """Holds the loop up."""
    time.sleep(0.08)
    return "slow"


@workload("waiting-task", params=Where, isolation="task")
async def waiting_task(ctx: Context, params: Where) -> str:
    """A task that emits and waits."""
    ctx.log("waiting")
    await asyncio.sleep(params.seconds)
    return "waited"


@workload("identity")
def identity(_ctx: Any, _params: Any) -> dict[str, Any]:
    """Which process this is."""
    return {"pid": os.getpid()}


def read_words(content: bytes) -> dict[str, Any]:
    """Words, and who read them."""
    return {"words": content.decode().split(), "reader": os.getpid()}


@workload("sharer", shares={"words": "trialbook_test_plugins:read_words"})
def sharer(ctx: Any, _params: Any) -> dict[str, Any]:
    """Change what is shared, which is nobody else's business."""
    found = ctx.shared("words")
    count = len(found["words"])
    found["words"].append("mine")
    return {"count": count, "own": found["reader"] == os.getpid(), "reader": found["reader"]}


@workload("clock-reader", params=Where)
def clock_reader(ctx: Any, params: Where) -> list[int]:
    """Look at the clock before each of some checkpoints, and once more."""
    seen = []
    for number in range(params.count + 1):
        seen.append(ctx.effect(f"clock/{number}", number, time.time_ns, durable=False))
        if number < params.count:
            ctx.checkpoint(number)
    if params.seconds:
        raise Failure("too_late", "The clock has stopped.", retryable=False)
    return seen


TERMINATING = (signal.SIGSEGV, signal.SIGKILL)


@workload("environment")
def environment(_ctx: Any, _params: Any) -> dict[str, Any]:
    """What a workload finds of the environment, and what the kernel shows of its process's first one."""
    initial = Path("/proc/self/environ").read_bytes().strip(b"\0").decode()
    return {"known": dict(os.environ), "initial": initial}

"""Workloads that call something outside, and leave a mark for every call that was really made."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec

from trialbook import Context, Failure, workload


class Calls(msgspec.Struct):
    """``marks``: file with a line per call; ``hold``: after so many calls wait while this file does not exist."""

    marks: str
    count: int = 3
    size: int = 1
    hold: int = -1
    gate: str = ""
    fail: str = ""
    """The file whose existence makes the run fail at its end."""
    drift: str = ""
    """The file whose content is part of every request."""


def _call(params: Calls, number: int) -> dict[str, Any]:
    with Path(params.marks).open("a") as stream:
        stream.write(f"{number}\n")
    return {"answer": str(number) * params.size, "nth": len(Path(params.marks).read_text().splitlines())}


def _request(params: Calls, number: int) -> dict[str, Any]:
    drift = Path(params.drift).read_text() if params.drift else ""
    return {"question": number, "drift": drift}


async def _calls(ctx: Context, params: Calls) -> list[Any]:
    found = []
    for number in range(params.count):

        async def call(number: int = number) -> Any:
            return _call(params, number)

        found.append(await ctx.effect(f"call/{number}", _request(params, number), call, info={"number": number}))
        while number + 1 == params.hold and not Path(params.gate).exists():
            await asyncio.sleep(0.02)
    if params.fail and Path(params.fail).exists():
        raise Failure("asked_to", "The file is there.")
    return found


@workload("caller", params=Calls)
async def caller(ctx: Context, params: Calls) -> list[Any]:
    """Call one after another."""
    return await _calls(ctx, params)


@workload("task-caller", params=Calls, isolation="task")
async def task_caller(ctx: Context, params: Calls) -> list[Any]:
    """The same in the runner's own process."""
    return await _calls(ctx, params)


@workload("blocking-caller", params=Calls)
def blocking_caller(ctx: Any, params: Calls) -> list[Any]:
    """The same without asyncio."""
    numbers = range(params.count)
    return [ctx.effect(f"call/{n}", _request(params, n), lambda n=n: _call(params, n)) for n in numbers]


@workload("restless", params=Calls)
async def restless(ctx: Context, params: Calls) -> Any:
    """A result that nothing recorded explains, and concurrent calls."""

    async def one(number: int) -> Any:
        async def call() -> Any:
            return _call(params, number)

        return await ctx.effect(f"call/{number}", number, call)

    await asyncio.gather(*(one(number) for number in range(params.count)))
    return ctx.new_id()


class Reach(msgspec.Struct):
    """``how``: ``plain`` fails when there is no network, ``caught`` goes on, ``program`` lets another program try."""

    port: int
    how: str = "plain"


PROGRAM = "import socket, sys; socket.create_connection(('127.0.0.1', int(sys.argv[1])), 2)"


@workload("networker", params=Reach)
async def networker(_ctx: Context, params: Reach) -> str:
    """Connect to a port of this machine, whatever the record says."""
    if params.how == "program":
        done = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", PROGRAM, str(params.port)], check=False)
        return f"exit code {done.returncode}"
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", params.port)
        writer.close()
    except OSError:
        if params.how == "plain":
            raise
    own, other = socket.socketpair()  # what stays on this machine stays possible
    own.close()
    other.close()
    return "done"


async def _twice(ctx: Context, params: Calls) -> list[Any]:
    found = [await ctx.effect("call", {"q": 1}, lambda: asyncio.to_thread(_call, params, 0)) for _ in range(2)]
    return [[len(one["answer"]), one["nth"]] for one in found]


@workload("asker", params=Calls)
async def asker(ctx: Context, params: Calls) -> list[Any]:
    """Ask for the same call twice within an attempt."""
    return await _twice(ctx, params)


@workload("task-asker", params=Calls, isolation="task")
async def task_asker(ctx: Context, params: Calls) -> list[Any]:
    """The same in the runner's own process."""
    return await _twice(ctx, params)

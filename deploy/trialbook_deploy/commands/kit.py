"""What commands share: connecting, running, and ending with a message and an exit code instead of a traceback."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Callable, Coroutine
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import typer

if TYPE_CHECKING:
    from trialbook.client import AsyncClient


PATIENCE_SECONDS = 6.0  # a service that is being restarted is back by then


class Exit(IntEnum):
    """Exit codes of the commands."""

    OK = 0
    FAILED = 1
    USAGE = 2
    CANCELLED = 3
    INTERRUPTED = 130
    BROKEN_PIPE = 141


def with_client(
    url: str | None,
    data_dir: Path | None,
    workspace: str | None,
    work: Callable[[AsyncClient], Coroutine[Any, Any, int]],
    on_interrupt: Callable[[], None] = lambda: None,
    data_subject: str = "",
) -> NoReturn:
    """Run `work` with a client for the stack that the options name, and exit with its code."""
    from trialbook.client import AsyncClient
    from trialbook_deploy.target import gateway_url

    address = gateway_url(url, data_dir)

    async def connected() -> int:
        patience_s = PATIENCE_SECONDS
        async with AsyncClient(
            address, workspace=workspace, data_subject=data_subject, patience_s=patience_s
        ) as client:
            return await work(client)

    run(connected(), on_interrupt)


def run(work: Coroutine[Any, Any, int], on_interrupt: Callable[[], None] = lambda: None) -> NoReturn:
    """Run a coroutine to its exit code; refusals become messages, Ctrl-C and a closed pipe their usual codes."""
    from trialbook.errors import Invalid, Refusal

    # What the commands have to say about a lost connection they say themselves, as a refusal.
    logging.getLogger("trialbook.log").setLevel(logging.CRITICAL)
    try:
        code = asyncio.run(work)
        sys.stdout.flush()
    except Refusal as refusal:
        complain(refusal.detail)
        faults = refusal.extra.get("errors") or []
        for fault in faults if len(faults) > 1 else []:  # the detail is the first one
            typer.echo(f"  {fault.get('pointer') or fault.get('in', '')}: {fault.get('detail')}", err=True)
        code = Exit.USAGE if isinstance(refusal, Invalid) else Exit.FAILED
    except KeyboardInterrupt:
        on_interrupt()
        code = Exit.INTERRUPTED
    except BrokenPipeError:
        # The reader (head, less) has what it wanted; what Python still holds must not complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = Exit.BROKEN_PIPE
    raise typer.Exit(int(code))


def complain(text: str) -> None:
    """A message on standard error."""
    typer.echo(f"trialbook: {text}", err=True)


def usage_error(text: str) -> NoReturn:
    """A message on standard error and exit code 2: the arguments are wrong."""
    complain(text)
    raise typer.Exit(int(Exit.USAGE))


def choose(value: str, among: tuple[str, ...], option: str) -> None:
    """End the command unless `value` is one of `among`."""
    if value not in among:
        usage_error(f"{option} {value!r} is none of {', '.join(among)}.")

"""Move the boundary of what is sealed, and purge what is below it. Only for the one who has sealed it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from nats.aio.client import Client

from trialbook import subjects
from trialbook.errors import Conflict
from trialbook.log.api import call
from trialbook.log.purged import (
    GRACE_S,
    SEALED_MANIFEST,
    SEALED_TO,
    Boundary,
    boundary,
    boundary_of,
    purged_names,
)
from trialbook.streams import FACTS

PURGED_TO = "trialbook.purged_to"
STEP = 200_000
"""Sequences that one request purges: the server holds writers back while it works."""
PURGE_TIMEOUT_S = 60.0


async def record(nc: Client, values: dict[str, str]) -> None:
    """Set members of the metadata of FACTS."""
    config: dict[str, Any] = (await call(nc, f"STREAM.INFO.{FACTS}"))["config"]
    config["metadata"] = (config.get("metadata") or {}) | values
    await call(nc, f"STREAM.UPDATE.{FACTS}", config)


async def record_boundary(nc: Client, known: Boundary) -> None:
    """Say that facts up to a boundary are in segments. From then on they may be purged.

    Raises ``Conflict`` (``boundary_moved``) when more has been sealed than that: what may be purged never grows less.
    """
    if (await boundary(nc)).sequence > known.sequence:
        raise Conflict("boundary_moved", "Somebody else has sealed more meanwhile; seal again.")
    await record(nc, {SEALED_TO: str(known.sequence), SEALED_MANIFEST: known.manifest})
    if await boundary(nc) != known:
        raise Conflict("boundary_not_recorded", "Somebody else changed the stream of facts; seal again.")


async def may_purge(nc: Client) -> bool:
    """Whether the stream of facts can be purged at all: those of early releases refuse it for ever."""
    return not (await call(nc, f"STREAM.INFO.{FACTS}"))["config"].get("deny_purge", False)


async def _always() -> None:
    """Nobody else purges."""


async def purge(
    nc: Client, kind: str = "run", grace_s: float = GRACE_S, may_go_on: Callable[[], Awaitable[None]] = _always
) -> int:
    """Purge what is sealed, but for the facts that stay; returns how many facts went. May be repeated and resumed.

    ``may_go_on`` raises what ends it; it is asked before every step.
    """
    info = await call(nc, f"STREAM.INFO.{FACTS}")
    up_to = boundary_of(info).sequence
    done = int((info["config"].get("metadata") or {}).get(PURGED_TO, 0))
    if done >= up_to:
        return 0
    await asyncio.sleep(grace_s)
    purged = await _purge_names(nc, purged_names(kind), kind, done, up_to, may_go_on)
    await may_go_on()
    await record(nc, {PURGED_TO: str(up_to)})
    return purged


async def _purge_names(
    nc: Client, names: list[str], kind: str, done: int, up_to: int, may_go_on: Callable[[], Awaitable[None]]
) -> int:
    purged = 0
    for step in range(done + STEP, up_to + STEP, STEP):
        await may_go_on()
        if (await boundary(nc)).sequence < up_to:
            raise Conflict("boundary_moved", "The record of what is sealed was changed; nothing more was purged.")
        for filter_ in (f for name in names for f in subjects.facts_named(kind, name)):
            request = {"filter": filter_, "seq": min(step, up_to) + 1}
            purged += int((await call(nc, f"STREAM.PURGE.{FACTS}", request, PURGE_TIMEOUT_S))["purged"])
    return purged

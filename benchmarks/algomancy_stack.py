"""A stack with algomancy sessions full of scenarios, all made by sweeps, which are created hundreds at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from benchmarks.load import HttpConnection
from benchmarks.local import stack
from trialbook_deploy.stack import Stack

SESSIONS = "/algomancy/api/v1/sessions"
DATASET = "example_data"
POINTS = 250
WAIT_S = 120.0
RETRY_S = 0.2


@asynccontextmanager
async def algomancy() -> AsyncIterator[Stack]:
    """A stack that serves the profile ``slotting``."""
    async with stack(env={"TRIALBOOK_ALGOMANCY_PROFILE": "slotting"}) as running:
        yield running


async def session(client: HttpConnection, name: str) -> str:
    """A copy of the first session, with its dataset; returns its id."""
    listed = await client.json("GET", SESSIONS)
    deadline = asyncio.get_running_loop().time() + WAIT_S
    while DATASET not in (await client.json("GET", f"{SESSIONS}/{listed['default']}/data"))["keys"]:
        if asyncio.get_running_loop().time() > deadline:
            raise RuntimeError("the profile's own dataset did not come")
        await asyncio.sleep(RETRY_S)
    copied = await client.json("POST", f"{SESSIONS}/{listed['default']}/copy", {"new_display_name": name})
    return str(next(one["id"] for one in copied["sessions"] if one["display_name"] == name))


async def sweep(
    client: HttpConnection, id_: str, prefix: str, count: int, *, run: bool, algorithm: str = "Instant"
) -> list[str]:
    """``count`` scenarios, of an algorithm that does nothing by default; returns their ids in order."""
    body: dict[str, Any] = {
        "tag_prefix": prefix, "dataset_key": DATASET, "algo_name": algorithm, "points": [{}] * count, "run": run
    }  # fmt: skip
    made = await client.json("POST", f"{SESSIONS}/{id_}/sweeps", body)
    return [row["id"] for row in made["comparison"]["rows"]]


async def ended(client: HttpConnection, id_: str, scenario: str) -> None:
    """Wait until a scenario is complete. Raises ``RuntimeError`` when it is not."""
    workspace, run = id_.replace("-", ""), scenario.replace("-", "")
    deadline = asyncio.get_running_loop().time() + WAIT_S
    while (found := await client.json("GET", f"/v1/runs/{run}?wait=30&workspace={workspace}"))["status"] != "completed":
        if found["status"] in ("failed", "cancelled") or asyncio.get_running_loop().time() > deadline:
            raise RuntimeError(f"the scenario is {found['status']}: {found['error']}")

"""A whole stack for the tests of one module."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from trialbook_deploy.stack import Stack

WORKLOADS = ("command", "marketplace", "noop")


@contextmanager
def standing(data_dir: Path) -> Iterator[Stack]:
    """Up with all workloads announced, until the block ends."""
    stack = Stack(data_dir)
    asyncio.run(stack.start())
    try:
        asyncio.run(_announced(stack))
        yield stack
    finally:
        asyncio.run(stack.stop())


async def _announced(stack: Stack) -> None:
    async with httpx.AsyncClient(base_url=stack.url, trust_env=False, timeout=30) as http, asyncio.timeout(60):
        while True:
            items = (await http.get("/v1/workloads")).json()["items"]
            if {one["name"] for one in items if one["available"]} >= set(WORKLOADS):
                return
            await asyncio.sleep(0.05)

"""A name that is taken over again and again is always there, once, and never shows the end of who bore it before."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.dialects.marketplace.client import PATIENCE_S, Market

pytestmark = pytest.mark.integration
TAKEN_OVER = 25


async def test_a_name_that_is_taken_over_is_listed_once_and_never_cancelled(market: Market, name: str) -> None:
    await market.launch(name, "mexican_100_300")
    stop = asyncio.Event()

    async def take_over() -> None:
        for _ in range(TAKEN_OVER):
            await market.launch(name, "mexican_100_300", override=True)
        stop.set()

    async def listed() -> None:
        found = await market.get("")
        assert [one["schema_name"] for one in found].count(name) == 1

    async def told() -> None:
        found = await market.status(name)
        assert found["error"] is None, found
        assert (found["started_at"] is None) == (found["status"] == "pending"), found
        runs = await market.get(f"{name}/runs")
        assert [run["current"] for run in runs].count(True) <= 1

    async def again(look: Callable[[], Awaitable[None]]) -> None:
        while not stop.is_set():
            await look()

    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
        for task in (take_over(), again(listed), again(told), again(told)):
            group.create_task(task)
    await market.http.post(f"/marketplace/api/experiments/{name}/cancel")


async def test_what_is_created_in_one_api_is_everywhere_in_the_next_reply(market: Market, name: str) -> None:
    for number in range(10):
        one = await market.launch(f"{name}_{number}", "tiny_1_2")
        assert one in [found["schema_name"] for found in await market.get("")]
        (run,) = await market.get(f"{one}/runs")
        native = (await market.http.get(f"/v1/runs?q={one}&count=true")).json()
        assert ([item["id"] for item in native["items"]], native["total"]) == ([run["id"]], 1)
        assert (await market.http.get(f"/v1/runs/{run['id']}")).json()["name"] == one
        assert (await market.http.get(f"/v1/events?aggregate={run['id']}")).json()["items"]
        assert (await market.http.get(f"/v1/audit/trail/{one}")).status_code == 200


async def test_an_experiment_that_has_ended_has_all_its_numbers_in_every_list(market: Market, name: str) -> None:
    for number in range(5):
        one = await market.done(f"{name}_{number}", dataset="tiny_1_2")
        (summary,) = [found for found in await market.get("") if found["schema_name"] == one]
        page, analytics = await market.get(f"{one}/logs"), await market.get(f"{one}/analytics")
        assert summary["agents_count"] == analytics["total_customers"] + analytics["total_businesses"] == 3
        assert summary["logs_count"] == page["total"]
        (run,) = await market.get(f"{one}/runs")
        assert run["status"] == "completed"
        listed = (await market.http.get(f"/v1/runs?q={one}&status=completed")).json()["items"]
        assert [item["id"] for item in listed] == [run["id"]]

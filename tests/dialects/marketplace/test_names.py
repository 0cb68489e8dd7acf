"""Names: one owner, replacing, automatic ones, repeated requests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.dialects.marketplace.client import PATIENCE_S, Market
from tests.dialects.marketplace.conftest import Processes, halfway

pytestmark = pytest.mark.integration
URL = "/marketplace/api/experiments"


async def test_of_two_at_the_same_instant_exactly_one_wins(market: Market, name: str) -> None:
    for number in range(5):
        body = {"dataset": "tiny_1_2", "experiment_name": f"{name}_{number}"}
        replies = await asyncio.gather(*(market.http.post(URL, json=body) for _ in range(6)))
        assert sorted(reply.status_code for reply in replies) == [200, 400, 400, 400, 400, 400]
        lost = next(reply.json()["detail"] for reply in replies if reply.status_code == 400)
        assert lost == f"Experiment '{name}_{number}' already exists. Use override=true to replace it."
        assert len(await market.get(f"{name}_{number}/runs")) == 1


async def test_overrides_at_the_same_instant_leave_one_owner_and_cancel_the_others(
    market: Market, stack: Processes, name: str
) -> None:
    body = {"dataset": "mexican_100_300", "experiment_name": name, "override": True}
    with stack.standstill():  # so that none ends before it is replaced
        replies = await asyncio.gather(*(market.http.post(URL, json=body) for _ in range(4)))
    assert [reply.status_code for reply in replies] == [200] * 4
    async with asyncio.timeout(PATIENCE_S):
        while True:
            runs = await market.get(f"{name}/runs")
            if len(runs) == 4 and [run["error"] for run in runs if not run["current"]] == ["Cancelled"] * 3:
                break
            await asyncio.sleep(0.05)
    assert [run["current"] for run in runs].count(True) == 1
    assert (await market.http.post(f"{URL}/{name}/cancel")).status_code in (200, 409)


async def test_override_takes_the_name_over_and_keeps_the_history(market: Market, name: str) -> None:
    await market.done(name, dataset="tiny_1_2")
    first = await market.status(name)
    await market.launch(name, "mexican_3_9", override=True, seed=7)
    assert (await market.finished(name))["started_at"] > first["completed_at"]
    assert (await market.get(f"{name}/analytics"))["total_customers"] == 3
    new, old = await market.get(f"{name}/runs")
    assert (new["current"], old["current"], new["seed"]) == (True, False, 7)
    assert (old["status"], old["completed_at"]) == ("completed", first["completed_at"])
    assert [entry["schema_name"] for entry in await market.get("")].count(name) == 1


async def test_a_replaced_experiment_does_not_come_back(market: Market, name: str) -> None:
    """When the run that bears the name is deleted, there is no experiment of that name, in the list as elsewhere."""
    await market.done(name, dataset="tiny_1_2")
    await market.launch(name, "tiny_1_2", override=True)
    await market.finished(name)
    new, _ = await market.get(f"{name}/runs")
    assert (await market.http.delete(f"/v1/runs/{new['id']}")).status_code == 204
    assert (await market.http.get(f"{URL}/{name}/status")).status_code == 404
    assert [entry["schema_name"] for entry in await market.get("")].count(name) == 0
    await market.done(name, dataset="tiny_1_2")
    assert [entry["schema_name"] for entry in await market.get("")].count(name) == 1


async def test_a_body_that_is_too_long_is_413_also_when_its_length_is_not_told(market: Market) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(50):
            yield b" " * 100_000

    reply = await market.http.post(URL, content=pieces(), headers={"Content-Type": "application/json"})
    told = "At most 4194304 bytes are accepted here; send less at once."
    assert (reply.status_code, reply.json()["detail"]) == (413, told)


async def test_override_cancels_what_runs(market: Market, stack: Processes, name: str) -> None:
    async with halfway(market, stack, name):
        await market.launch(name, "tiny_1_2", override=True)
    assert (await market.finished(name))["status"] == "completed"
    async with asyncio.timeout(PATIENCE_S):
        while (await market.get(f"{name}/runs"))[1]["status"] != "failed":
            await asyncio.sleep(0.02)
    old = (await market.get(f"{name}/runs"))[1]
    assert old["error"] == "Cancelled"


async def test_automatic_names_that_collide_are_counted_up(market: Market) -> None:
    replies = await asyncio.gather(*(market.http.post(URL, json={"dataset": "tiny_1_2"}) for _ in range(30)))
    assert [reply.status_code for reply in replies] == [200] * 30
    assert len({reply.json()["name"] for reply in replies}) == 30


async def test_a_repeated_request_with_its_key_gets_the_first_reply(market: Market, name: str) -> None:
    async def post(key: str, **body: Any) -> httpx.Response:
        return await market.http.post(URL, json={"dataset": "tiny_1_2", **body}, headers={"Idempotency-Key": key})

    for key, body in ((f"{name}-1", {"experiment_name": name}), (f"{name}-2", {})):
        first, second = await asyncio.gather(post(key, **body), post(key, **body))
        assert first.status_code == second.status_code == 200
        assert first.json() == second.json()
        await market.finished(first.json()["name"])
        assert (await post(key, **body)).json() == first.json()
        assert len(await market.get(f"{first.json()['name']}/runs")) == 1
        other = await post(key, seed=1, **body)
        assert other.status_code == 409
        assert set(other.json()) == {"detail"}


async def test_two_datasets_versions_are_two_snapshots(market: Market, name: str) -> None:
    await market.done(f"{name}_1", dataset="tiny_1_2")
    await market.done(f"{name}_2", dataset="tiny_1_2")
    one, two = [(await market.get(f"{name}_{n}/runs"))[0]["parameters"] for n in (1, 2)]
    assert one["dataset_digest"] == two["dataset_digest"]


async def test_passwords_are_masked_in_what_is_recorded(market: Market, name: str) -> None:
    await market.launch(name, "tiny_1_2", postgres_password="hunter2secret", postgres_host="db.example")
    run = (await market.get(f"{name}/runs"))[0]["id"]
    facts = await market.http.get(f"/v1/runs/{run}/facts")
    assert facts.status_code == 200
    assert "db.example" in facts.text
    assert "hunter2secret" not in facts.text


async def test_passwords_in_queries_do_not_reach_the_log(market: Market, stack: Processes, name: str) -> None:
    await market.done(name, dataset="tiny_1_2")
    await market.stream(name, "?password=hunter3secret&user=postgres")
    await market.get(f"{name}/logs", password="hunter4secret")
    log = (stack.directory / "gateway.log").read_text()
    assert "password=***&user=postgres" in log
    assert "hunter3secret" not in log
    assert "hunter4secret" not in log

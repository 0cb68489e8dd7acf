"""kill -9 of services: what was said stays true, what runs is finished by somebody else."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.dialects.marketplace.client import Market
from tests.dialects.marketplace.conftest import Processes, halfway

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


async def said(market: Market, name: str) -> dict[str, Any]:
    summary = next(entry for entry in await market.get("") if entry["schema_name"] == name)
    stream, code = await market.stream(name)
    return {
        "status": await market.status(name), "logs": await market.pages(name, 100), "stream": stream, "code": code,
        "summary": summary, "analytics": await market.get(f"{name}/analytics"),
    }  # fmt: skip


async def started(market: Market, run: str) -> list[dict[str, Any]]:
    facts = (await market.http.get(f"/v1/runs/{run}/facts", params={"limit": 1000})).json()["items"]
    return [fact["event"]["data"] for fact in facts if fact["event"]["type"] == "run.started.v1"]


async def test_everything_said_survives_the_gateway_and_the_projector(
    market: Market, stack: Processes, name: str
) -> None:
    await market.done(name)
    before = await said(market, name)
    for service in ("gateway", "projector"):
        stack.restart(service)
        await asyncio.to_thread(stack.wait_ready)
        assert await said(market, name) == before
    text = f"Experiment '{name}' already exists. Use override=true to replace it."
    reply = await market.http.post("/api/experiments", json={"dataset": "tiny_1_2", "experiment_name": name})
    assert (reply.status_code, reply.json()) == (400, {"detail": text})


async def test_a_killed_runners_experiment_is_taken_over_with_the_same_result(
    market: Market, stack: Processes, name: str
) -> None:
    order: dict[str, Any] = {"customer_policy": "random", "seed": 3}
    await market.done(f"{name}_clean", dataset="mexican_100_300", **order)
    async with halfway(market, stack, name, **order) as run:
        follower = asyncio.create_task(market.stream(name))
        runner = (await started(market, run))[-1]["runner"]
        stack.restart(next(service for service in ("runner-1", "runner-2") if service in runner or runner in service))
    assert (await market.finished(name))["status"] == "completed"
    attempts = [data["attempt"] for data in await started(market, run)]
    assert len(attempts) >= 2
    assert attempts == list(range(1, len(attempts) + 1))
    messages, code = await follower
    assert (messages[-1], code) == ({"type": "status", "status": "completed"}, 1000)
    rows = await market.pages(name, 1000)
    assert [message["log"] for message in messages[:-1]] == rows
    summary = next(entry for entry in await market.get("") if entry["schema_name"] == name)
    assert (summary["logs_count"], summary["agents_count"]) == (len(rows), 400)
    assert await market.get(f"{name}/analytics") == await market.get(f"{name}_clean/analytics")
    facts = (await market.http.get(f"/v1/runs/{run}/facts", params={"limit": 1000})).json()["items"]
    verdicts = [fact for fact in facts if fact["event"]["type"] in ("run.completed.v1", "run.failed.v1")]
    assert len(verdicts) == 1


async def test_an_experiment_launched_while_no_runner_lives_waits(market: Market, stack: Processes, name: str) -> None:
    for runner in ("runner-1", "runner-2"):
        stack.running[runner].kill()
        stack.running[runner].wait()
    await market.launch(name, "tiny_1_2")
    follower = asyncio.create_task(market.stream(name))
    await asyncio.sleep(0.3)
    assert (await market.status(name))["status"] == "pending"
    assert not follower.done()
    for runner in ("runner-1", "runner-2"):
        stack.start_one(runner)
    messages, _ = await follower
    assert messages[-1] == {"type": "status", "status": "completed"}
    assert len(messages) > 5

"""Analytics, threads, export and cancellation; the properties of rule-based runs end to end."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path
from typing import Any

import pytest

from tests.dialects.marketplace.client import Market
from tests.dialects.marketplace.conftest import Processes, halfway
from trialbook_gateway.dialects.marketplace.history import unpack
from trialbook_marketplace.analytics import analyse
from trialbook_marketplace.export import read_sqlite

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    ("policy", "baseline"),
    [("cheapest", "pick_cheapest"), ("cheapest_with_amenities", "pick_optimal"), ("optimal", "pick_optimal")],
)
async def test_rule_based_runs_reach_their_baseline(market: Market, name: str, policy: str, baseline: str) -> None:
    await market.done(
        name, dataset="mexican_10_30", search_algorithm="optimal", search_bandwidth=30, customer_policy=policy
    )
    found = await market.get(f"{name}/analytics")
    assert found["total_marketplace_customer_utility"] == found["baselines"][baseline]
    assert found["purchase_completion_rate"] == 100
    if baseline == "pick_optimal":
        assert found["customers_with_needs_met"] == 10
        assert found["baselines"]["welfare_share_of_optimal"] == 1


async def test_revenue_is_what_was_paid_and_payments_follow_proposals(market: Market, name: str) -> None:
    await market.done(name, dataset="mexican_10_30", customer_policy="random", seed=5)
    view = await market.get(f"{name}/threads")
    found = view["analytics"]
    assert found == await market.get(f"{name}/analytics")
    average = found["transaction_summary"]["average_paid_order_value"]
    revenue = math.fsum(business["utility"] for business in found["business_summaries"])
    assert revenue == pytest.approx(average * found["transaction_summary"]["payments_made"])
    offered: set[tuple[str, str, str]] = set()
    for message in view["messages"]:
        if message["type"] == "order_proposal":
            offered.add((message["from_agent"], message["to_agent"], message["content"]["id"]))
        elif message["type"] == "payment":
            paid = message["content"]["proposal_message_id"]
            assert (message["to_agent"], message["from_agent"], paid) in offered
    times = [thread["lastMessageTime"] for thread in view["messageThreads"]]
    assert times == sorted(times, reverse=True)


async def test_the_same_seed_gives_the_same_result(market: Market, name: str) -> None:
    found = []
    for number in range(2):
        one = await market.done(f"{name}_{number}", dataset="mexican_10_30", customer_policy="random", seed=11)
        found.append(await market.get(f"{one}/analytics"))
    assert found[0] == found[1]


@pytest.mark.parametrize("distance", [-1, 21, "x"])
async def test_the_distance_is_bounded(market: Market, name: str, distance: Any) -> None:
    await market.launch(name, "tiny_1_2", override=True)
    reply = await market.http.get(
        f"/marketplace/api/experiments/{name}/analytics", params={"fuzzy_match_distance": distance}
    )
    assert reply.status_code == 422


async def test_analytics_while_it_runs(market: Market, name: str) -> None:
    await market.launch(name, "mexican_100_300")
    async with asyncio.timeout(60):
        while not (found := await market.get(f"{name}/analytics", fuzzy_match_distance=2))["total_messages_sent"]:
            await asyncio.sleep(0)
    # Whoever sends has been registered before: rows that come while they are read leave no hole.
    assert (found["total_customers"], found["total_businesses"]) == (100, 300)
    await market.http.post(f"/marketplace/api/experiments/{name}/cancel")


async def test_a_requested_export_gives_the_analytics_of_the_live_history(
    market: Market, name: str, tmp_path: Path
) -> None:
    await market.done(name, export_sqlite=True, export_filename="mine.db", export_dir="/somewhere")
    await same_after_export(market, name, tmp_path / "asked.db", "mine.db")


async def test_any_finished_run_can_be_exported(market: Market, name: str, tmp_path: Path) -> None:
    await market.done(name)
    await same_after_export(market, name, tmp_path / "later.db", f"{name}.db")


async def same_after_export(market: Market, name: str, path: Path, filename: str) -> None:
    reply = await market.http.get(f"/marketplace/api/experiments/{name}/export")
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"] == "application/vnd.sqlite3"
    assert filename in reply.headers["content-disposition"]
    path.write_bytes(reply.content)
    history = read_sqlite(path)
    assert analyse(history.agents, history.actions, history.logs) == await market.get(f"{name}/analytics")
    summary = next(entry for entry in await market.get("") if entry["schema_name"] == name)
    counts = (summary["agents_count"], summary["actions_count"], summary["logs_count"])
    assert (len(history.agents), len(history.actions), len(history.logs)) == counts
    entries = await market.pages(name, 1000)
    told = [(row["data"]["level"], row["data"]["message"], row["data"]["data"]) for row in history.logs]
    assert told == [(entry["level"], entry["message"], entry["data"]) for entry in entries]


async def test_there_is_no_export_before_the_end(market: Market, stack: Processes, name: str) -> None:
    async with halfway(market, stack, name, export_sqlite=True):
        reply = await market.http.get(f"/marketplace/api/experiments/{name}/export")
        assert (reply.status_code, reply.json()) == (404, {"detail": f"Experiment '{name}' has no export yet"})
    await market.http.post(f"/marketplace/api/experiments/{name}/cancel")
    unknown = await market.http.get("/marketplace/api/experiments/unknown_one/export")
    assert unknown.status_code == 404


async def test_cancel_ends_a_running_experiment(market: Market, stack: Processes, name: str) -> None:
    async with halfway(market, stack, name):
        follower = asyncio.create_task(market.stream(name))
        reply = await market.http.post(f"/marketplace/api/experiments/{name}/cancel")
        assert reply.status_code == 200
    found = await market.finished(name)
    assert (found["status"], found["error"]) == ("failed", "Cancelled")
    messages, code = await follower
    assert (messages[-1], code) == ({"type": "status", "status": "failed"}, 1000)
    assert len(messages) - 1 == (await market.get(f"{name}/logs"))["total"]
    assert (await market.http.post(f"/marketplace/api/experiments/{name}/cancel")).status_code == 200


async def test_a_finished_experiment_cannot_be_cancelled(market: Market, name: str) -> None:
    await market.done(name, dataset="tiny_1_2")
    reply = await market.http.post(f"/marketplace/api/experiments/{name}/cancel")
    assert reply.status_code == 409
    assert reply.json() == {"detail": f"Experiment '{name}' is completed and cannot be cancelled"}


async def test_experiments_at_the_same_time_do_not_see_each_other(market: Market, name: str) -> None:
    datasets = {f"{name}_{n}": ("mexican_3_9", "mexican_10_30", "tiny_1_2")[n % 3] for n in range(9)}
    await asyncio.gather(*(market.launch(one, dataset) for one, dataset in datasets.items()))
    told = dict(zip(datasets, await asyncio.gather(*(market.stream(one) for one in datasets)), strict=True))
    for one, dataset in datasets.items():
        assert (await market.status(one))["status"] == "completed"
        customers = {"mexican_3_9": 3, "mexican_10_30": 10, "tiny_1_2": 1}[dataset]
        assert (await market.get(f"{one}/analytics"))["total_customers"] == customers
        first = told[one][0][0]["log"]["data"]
        assert (first["experiment_name"], first["customers"]) == (one, customers)
        assert [m["log"] for m in told[one][0][:-1]] == await market.pages(one, 1000)


async def test_the_history_as_json_lines(market: Market, name: str) -> None:
    await market.done(name, dataset="tiny_1_2")
    reply = await market.http.get(f"/marketplace/api/experiments/{name}/export", params={"format": "jsonl"})
    assert (reply.status_code, reply.headers["content-type"]) == (200, "application/gzip")
    history = unpack(reply.content)
    assert analyse(history.agents, history.actions, history.logs) == await market.get(f"{name}/analytics")
    assert [row["index"] for row in history.logs] == list(range(1, len(history.logs) + 1))


async def test_the_history_of_a_cancelled_run_is_what_the_projector_has(market: Market, name: str) -> None:
    await market.launch(name, "mexican_100_300")
    while not (await market.get(f"{name}/logs"))["total"]:
        await asyncio.sleep(0.01)
    await market.http.post(f"/marketplace/api/experiments/{name}/cancel")
    await market.finished(name)
    reply = await market.http.get(f"/marketplace/api/experiments/{name}/export", params={"format": "jsonl"})
    history = unpack(reply.content)
    assert len(history.logs) == (await market.get(f"{name}/logs"))["total"]
    assert len(history.agents) <= 400


async def test_running_again_gives_the_same_result_under_another_name(market: Market, name: str) -> None:
    await market.done(name, dataset="mexican_10_30", customer_policy="random", seed=21)
    path = f"/marketplace/api/experiments/{name}/rerun"
    for given in ({}, {"experiment_name": f"{name}_2"}):
        reply = await market.http.post(path, params=given)
        assert reply.status_code == 200, reply.text
        again = reply.json()["name"]
        assert again.startswith("marketplace_10_30_" if not given else f"{name}_2")
        await market.finished(again)
        assert await market.get(f"{again}/analytics") == await market.get(f"{name}/analytics")
    taken = await market.http.post(path, params={"experiment_name": name})
    bad = await market.http.post(path, params={"experiment_name": "a-b"})
    assert (taken.status_code, bad.status_code) == (400, 400)
    other = await market.http.post(path, params={"seed": 22})
    assert (await market.get(f"{other.json()['name']}/runs"))[0]["seed"] == 22


async def test_datasets_are_validated_and_have_baselines(market: Market) -> None:
    async def ask(what: str, dataset: str) -> Any:
        return await market.http.get(f"/marketplace/api/datasets/{what}", params={"dataset": dataset})

    good = (await ask("validation", "mexican_10_30")).json()
    assert (good["passed"], good["problems"], good["customers"], good["businesses"]) == (True, [], 10, 30)
    tiny = (await ask("validation", "tiny_1_2")).json()
    assert tiny["passed"] is False
    assert "2 businesses for 1 customers, not three each" in tiny["problems"]
    found = (await ask("baselines", "tiny_1_2")).json()
    assert found["pick_optimal"] == found["pick_cheapest"] == round(2 * (9.89 + 4.29) - 9.42 - 4.75, 2)
    for what in ("validation", "baselines"):
        missing = await ask(what, "nothing")
        assert (missing.status_code, missing.json()) == (400, {"detail": "Dataset not found: nothing"})

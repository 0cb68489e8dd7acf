"""Experiments whose agents ask a model, over HTTP: the same end as by rules, whatever happens in between."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.dialects.marketplace.client import PATIENCE_S, Market
from tests.dialects.marketplace_llm.scripted import PROVIDERS, Answered, ModelProcesses, Scripted
from trialbook.testing.llm import Asked
from trialbook_marketplace.llm.script import marketplace_rules

pytestmark = pytest.mark.integration
OF_MODELS = ("llm_providers", "llm_models", "total_llm_calls", "failed_llm_calls")
RULES = {"customer_policy": "cheapest_with_amenities", "business_policy": "rule_based"}


async def analytics(market: Market, name: str) -> dict[str, Any]:
    found = await market.get(f"{name}/analytics")
    return {key: value for key, value in found.items() if key not in OF_MODELS}


async def run_of(market: Market, name: str) -> dict[str, Any]:
    runs = await market.get(f"{name}/runs")
    reply = await market.http.get(f"/v1/runs/{runs[0]['id']}")
    found: dict[str, Any] = reply.json()
    return found


async def replayed(market: Market, run: str) -> dict[str, Any]:
    reply = await market.http.post(f"/v1/runs/{run}/replay")
    assert reply.status_code == 201, reply.text
    view = reply.json()
    assert view["extra"] == {"replay_of": run}
    async with asyncio.timeout(PATIENCE_S):
        while True:
            ended = (await market.http.get(f"/v1/runs/{view['id']}", params={"wait": 20})).json()
            if ended["status"] not in ("queued", "running"):
                break
    assert ended["status"] == "completed", ended["error"]
    found: dict[str, Any] = ended["result"]
    return found


async def test_models_are_the_default_and_end_like_the_rules(market: Market, script: Scripted, name: str) -> None:
    search = {"search_algorithm": "optimal", "search_bandwidth": 3}
    await market.done(f"{name}_r", **search, **RULES)
    await market.done(f"{name}_m", **search)
    by_model = await market.get(f"{name}_m/analytics")
    assert await analytics(market, f"{name}_m") == await analytics(market, f"{name}_r")
    assert by_model["customers_with_needs_met"] == 3
    assert by_model["total_llm_calls"] == len(script.asked) > 0
    assert (by_model["llm_providers"], by_model["llm_models"]) == (["openai"], ["scripted"])
    run = await run_of(market, f"{name}_m")
    assert (run["params"]["llm_provider"], run["params"]["llm_model"]) == ("openai", "scripted")
    assert run["result"]["llm_usage"]["calls"] == len(script.asked)
    listed = {item["schema_name"]: item["llm_providers"] for item in await market.get("")}
    assert (listed[f"{name}_m"], listed[f"{name}_r"]) == (["openai"], [])


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_every_provider_and_every_setting_of_an_order(
    market: Market, script: Scripted, name: str, provider: str
) -> None:
    more = {"llm_temperature": 0.5, "llm_max_tokens": 777, "search_bandwidth": 4, "search_algorithm": "lexical"}
    await market.done(f"{name}_r", **RULES, search_bandwidth=4, search_algorithm="lexical")
    await market.done(f"{name}_m", customer_policy="llm", business_policy="llm", llm_provider=provider,
                      llm_model="other", seed=3, **more)  # fmt: skip
    assert await analytics(market, f"{name}_m") == await analytics(market, f"{name}_r")
    assert {asked.model for asked in script.asked} == {"other"}
    for asked in script.asked:
        sent = asked.body.get("generationConfig", asked.body)
        assert 777 in (sent.get("max_tokens"), sent.get("maxOutputTokens"), sent.get("max_completion_tokens"))
        assert sent["temperature"] == 0.5
    logs = await market.pages(f"{name}_m", limit=1000)
    call = next(entry for entry in logs if entry["message"] == "LLM call succeeded")
    assert (call["level"], call["data"]["provider"], call["data"]["model"]) == ("debug", provider, "other")
    assert call["agent_id"].startswith("customer_")


async def test_one_side_may_follow_rules(market: Market, script: Scripted, name: str) -> None:
    await market.done(name, customer_policy="llm", business_policy="rule_based")
    assert {asked.schema_name for asked in script.asked} == {"CustomerAction"}


async def test_a_killed_runner_repeats_no_call_and_ends_the_same(
    market: Market, script: Scripted, stack: ModelProcesses, name: str
) -> None:
    search: dict[str, Any] = {"search_bandwidth": 4}
    await market.done(f"{name}_whole", **search)
    whole = [asked.prompt for asked in script.asked]
    part = Answered(most=14)
    script.use(part.rules())
    await market.launch(f"{name}_killed", **search)
    run = await run_of(market, f"{name}_killed")
    async with asyncio.timeout(PATIENCE_S):
        while not (part.held and await recorded(market, run["id"]) == 14):
            await asyncio.sleep(0.02)
    stack.restart("runner-1")
    rest = Answered(most=10_000)
    script.use(rest.rules())
    ended = await market.finished(f"{name}_killed")
    assert ended["status"] == "completed", ended
    assert sorted(part.prompts + rest.prompts) == sorted(whole)
    assert await analytics(market, f"{name}_killed") == await analytics(market, f"{name}_whole")
    after = await run_of(market, f"{name}_killed")
    assert after["attempt"] >= 2
    script.use([])
    assert await replayed(market, run["id"]) == equal_to(run["id"])
    assert script.asked == []


def equal_to(run: str) -> dict[str, Any]:
    """The report of a replay that ended the same and wanted no network."""
    network = {"wall": "namespace", "refused": []}
    return {"equal": True, "divergence": None, "replay_of": run, "network": network}


async def recorded(market: Market, run: str) -> int:
    """Calls in the ledger."""
    usage = (await market.http.get(f"/v1/runs/{run}/usage")).json()
    return int(usage["total"]["calls"])


async def test_budgets_end_a_run_with_a_clear_error(market: Market, script: Scripted, name: str) -> None:
    await market.launch(f"{name}_t", max_tokens=2000)
    ended = await market.finished(f"{name}_t")
    assert ended["status"] == "failed"
    assert "of max_tokens 2000 are used" in ended["error"]
    first = len(script.asked)
    whole = await run_of(market, f"{name}_t")
    assert (whole["error"]["code"], whole["attempt"]) == ("llm_budget_exceeded", 1)
    assert (await market.get(f"{name}_t/analytics"))["total_llm_calls"] == first
    assert await replayed(market, whole["id"]) == equal_to(whole["id"])
    await market.launch(f"{name}_c", llm_model="priced", max_cost=1.5)
    ended = await market.finished(f"{name}_c")
    assert ended["status"] == "failed"
    assert "of max_cost 1.5 are spent" in ended["error"]
    usage = await market.get(f"{name}_c/usage")
    assert usage["total"]["cost_usd"] >= 1.5
    await market.launch(f"{name}_u", max_cost=1.5)
    ended = await market.finished(f"{name}_u")
    assert ended["error"].startswith("max_cost is set but the price of openai 'scripted' is not known")


async def test_a_run_without_any_answer_fails_with_the_last_error_and_can_be_retried(
    market: Market, script: Scripted, name: str
) -> None:
    script.use([])
    await market.launch(name)
    ended = await market.finished(name)
    assert ended["status"] == "failed"
    assert "no rule of the script matches this prompt" in ended["error"]
    run = await run_of(market, name)
    assert (await replayed(market, run["id"]))["equal"]
    failures = await recorded(market, run["id"])
    script.use(marketplace_rules())
    reply = await market.http.post(f"/v1/runs/{run['id']}/retry")
    assert reply.status_code == 200, reply.text
    ended = await market.finished(name)
    assert ended["status"] == "completed", ended
    usage = await market.get(f"{name}/usage")
    assert (usage["total"]["failed_calls"], usage["total"]["calls"]) == (failures, failures + len(script.asked))
    await market.done(f"{name}_r", **RULES)
    assert await analytics(market, name) == await analytics(market, f"{name}_r")


async def test_audit_traces_threads_usage_and_biases(market: Market, script: Scripted, name: str) -> None:
    await market.done(name, search_algorithm="optimal", search_bandwidth=3)
    found = await market.get(f"{name}/audit")
    assert (found["total_proposals"], found["found"], found["missing"]) == (9, 9, 0)
    assert found["below_optimal"] == []
    traces = await market.get(f"{name}/traces")
    assert "customers/customer_0001.md" in traces
    assert sum(path.startswith("conversations/") for path in traces) == 9
    reply = await market.http.get(
        f"/marketplace/api/experiments/{name}/traces", params={"document": "customers/customer_0001.md"}
    )
    assert reply.headers["content-type"].startswith("text/markdown")
    assert "## Last LLM call" in reply.text
    missing = await market.http.get(f"/marketplace/api/experiments/{name}/traces", params={"document": "x"})
    assert (missing.status_code, set(missing.json())) == (404, {"detail"})
    threads = await market.get(f"{name}/threads")
    assert len(threads["messageThreads"]) == 9
    usage = await market.get(f"{name}/usage")
    assert usage["total"]["calls"] == len(script.asked)
    assert sum(agent["calls"] for agent in usage["agents"].values()) == usage["total"]["calls"]
    assert [(model["provider"], model["model"]) for model in usage["models"]] == [("openai", "scripted")]
    assert usage["total"]["cost_usd"] is None
    by_prompt = [asked for asked in script.asked if customer_of(asked) == "customer_0001"]
    assert usage["agents"]["customer_0001"]["calls"] == len(by_prompt)
    biases = await market.get(f"{name}/biases")
    assert biases["payments"] == 3
    assert sum(biases["payments_by_place"].values()) == 3
    assert len(biases["businesses"]) == 9


def customer_of(asked: Asked) -> str:
    marker = 'Your agent ID is: "'
    return asked.prompt.partition(marker)[2].partition('"')[0]


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"llm_provider": "acme"}, "Unknown llm_provider 'acme'. Choose one of: openai, gemini, anthropic,"),
        ({"customer_policy": "greedy"}, "Unknown customer_policy 'greedy'."),
    ],
)  # fmt: skip
async def test_refusals(market: Market, name: str, body: dict[str, Any], text: str) -> None:
    order = {"dataset": "mexican_3_9", "experiment_name": name, **body}
    reply = await market.http.post("/marketplace/api/experiments", json=order)
    assert reply.status_code == 400
    assert reply.json()["detail"].startswith(text)


async def test_a_cancelled_run_waits_for_no_answer(market: Market, script: Scripted, name: str) -> None:
    held = Answered(most=3)
    script.use(held.rules())
    await market.launch(name)
    async with asyncio.timeout(PATIENCE_S):
        while not held.held:
            await asyncio.sleep(0.02)
    reply = await market.http.post(f"/marketplace/api/experiments/{name}/cancel")
    assert reply.status_code == 200
    ended = await market.finished(name)
    assert (ended["status"], ended["error"]) == ("failed", "Cancelled")

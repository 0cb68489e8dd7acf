"""Tokens and dollars per run, agent and model; budgets; prices."""

from __future__ import annotations

import asyncio
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.llm.support import rig
from trialbook.errors import Invalid
from trialbook.testing.llm import Fault, Reply, Rule
from trialbook.workload import Failure
from trialbook_runner.llm import Budget, BudgetExceeded, CallFailed, Meter, Prices, Usage, load_prices
from trialbook_runner.llm.prices import Price, cost_usd

BIG = Rule(reply=Reply(content="x", input_tokens=1000, output_tokens=500))
OWN = Price(provider="openai", model="scripted", input=2.0, output=8.0, as_of="2026-01-01", source="ours")


async def test_usage_is_kept_per_run_agent_and_model() -> None:
    rules = [Rule(match="fail", fault=Fault(kind="status", status=400)), BIG]
    async with rig(rules, prices=Prices([], [OWN])) as r:
        await r.say(agent="a1")
        await r.say(agent="a2")
        await r.caller.complete("a2", r.request(model="unpriced"))
        with pytest.raises(CallFailed):
            await r.say("fail", agent="a2")
        report = r.caller.meter.report()
    assert report["total"]["calls"] == 4
    assert report["total"]["failed_calls"] == 1
    assert report["total"]["total_tokens"] == 4500
    assert (report["total"]["cost_usd"], report["total"]["known_cost_usd"]) == (None, 0.012)
    assert report["agents"]["a1"]["cost_usd"] == 0.006
    assert report["agents"]["a2"]["cost_usd"] is None
    assert [(m["provider"], m["model"], m["calls"], m["cost_usd"]) for m in report["models"]] == [
        ("openai", "scripted", 3, 0.012),
        ("openai", "unpriced", 1, None),
    ]


@pytest.mark.parametrize(("budget", "calls"), [(Budget(max_tokens=4000), 3), (Budget(max_cost=0.02), 4)])
async def test_a_budget_stops_the_run(budget: Budget, calls: int) -> None:
    async with rig([BIG], prices=Prices([], [OWN]), meter=Meter(budget)) as r:
        for _ in range(calls):
            await r.say()
        with pytest.raises(BudgetExceeded) as caught:
            await r.say()
        assert r.server.served == calls
    assert caught.value.code == "llm_budget_exceeded"
    assert not caught.value.retryable


async def test_calls_that_waited_for_a_slot_look_at_the_budget_again() -> None:
    meter = Meter(Budget(max_tokens=3000))
    async with rig([BIG], meter=meter, env={"LLM_MAX_CONCURRENCY": "1"}) as r:
        done = await asyncio.gather(*(r.say(agent=f"a{n}") for n in range(10)), return_exceptions=True)
        assert r.server.served <= 3
        assert sum(isinstance(outcome, BudgetExceeded) for outcome in done) >= 7


async def test_a_cost_limit_needs_a_known_price() -> None:
    async with rig([BIG], meter=Meter(Budget(max_cost=1.0))) as r:
        with pytest.raises(Failure, match="the price of openai 'scripted' is not known") as caught:
            await r.say()
        assert caught.value.code == "llm_price_unknown"
        assert r.server.served == 0


def test_the_shipped_table_is_dated_and_sourced() -> None:
    shipped = files("trialbook_runner.llm").joinpath("prices.json").read_bytes()
    prices = msgspec.json.decode(shipped, type=list[Price])
    own_pages = {"anthropic": "https://platform.claude.com/"}
    assert all(price.source.startswith(own_pages[price.provider]) for price in prices)
    assert all(len(price.as_of) == 10 for price in prices)
    assert load_prices().find("anthropic", "claude-opus-4-5") is not None
    assert load_prices().find("openai", "gpt-5-mini") is None


@pytest.mark.parametrize(
    ("model", "known"),
    [
        ("gpt-a", "gpt-a"),
        ("gpt-a-2024-11-20", "gpt-a"),
        ("gpt-a-mini-20240718", "gpt-a-mini"),
        ("gpt-a-latest", "gpt-a"),
        ("gpt-a-audio", None),
        ("gpt-b", None),
        ("", None),
    ],
)
def test_only_dated_snapshots_of_a_model_share_its_price(model: str, known: str | None) -> None:
    table = Prices([msgspec.structs.replace(OWN, model=name) for name in ("gpt-a", "gpt-a-mini")])
    price = table.find("openai", model)
    assert (price.model if price else None) == known


def test_a_published_price_does_not_count_for_another_address() -> None:
    prices = Prices([OWN], [])
    assert prices.find("openai", "scripted") == OWN
    assert prices.find("openai", "scripted", own_address=True) is None
    assert Prices([], [OWN]).find("openai", "scripted", own_address=True) == OWN


def test_the_cost_of_a_call() -> None:
    price = msgspec.structs.replace(OWN, cached_input=0.5, up_to_input_tokens=2000)
    assert cost_usd(price, Usage(input_tokens=1000, output_tokens=100)) == pytest.approx(0.0028)
    assert cost_usd(price, Usage(input_tokens=1000, cached_tokens=400, output_tokens=100)) == pytest.approx(0.0022)
    assert cost_usd(price, Usage(input_tokens=2001)) is None
    assert cost_usd(OWN, Usage(input_tokens=10, cached_tokens=1)) is None
    assert cost_usd(None, Usage()) is None


def test_own_prices_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "prices.json"
    file.write_bytes(msgspec.json.encode([OWN]))
    assert load_prices(str(file)).find("openai", "scripted") == OWN
    file.write_text('[{"provider": "openai"}]')
    with pytest.raises(Invalid, match="TRIALBOOK_LLM_PRICES"):
        load_prices(str(file))
    with pytest.raises(Invalid, match="TRIALBOOK_LLM_PRICES"):
        load_prices(str(tmp_path / "none.json"))


@pytest.mark.parametrize("budget", [{"max_tokens": 0}, {"max_cost": 0}, {"max_cost": -1}, {"max": 1}])
def test_a_budget_has_to_make_sense(budget: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(budget, Budget)

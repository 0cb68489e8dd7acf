"""A run with the scripted model ends as the rules it plays; killed, resumed or replayed it stays the same run."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import msgspec
import pytest

from tests.llm.markets import MODEL_FIELDS, bundled, config, execute, play, small
from tests.llm.support import WIRES, rig
from tests.marketplace.builders import business, customer
from trialbook.errors import Invalid
from trialbook.testing.llm import Asked, Fault, Reply, Rule
from trialbook_marketplace.analytics import analyse
from trialbook_marketplace.config import ExperimentConfig
from trialbook_marketplace.llm.script import marketplace_rules
from trialbook_marketplace.models import Dataset
from trialbook_marketplace.rows import History
from trialbook_runner.llm import Divergence, Effect, MemoryEffects
from trialbook_runner.llm.marketplace import MarketplaceModel, StoppedByModel


def result(history: History) -> dict[str, Any]:
    found = analyse(history.agents, history.actions, history.logs)
    return {key: value for key, value in found.items() if key not in MODEL_FIELDS}


async def by_rule(dataset: Dataset, policy: str, **search: Any) -> dict[str, Any]:
    _, history = await execute(ExperimentConfig("test", customer_policy=policy, **search), dataset)
    return result(history)


@pytest.mark.parametrize("wire", WIRES, ids="-".join)
async def test_every_provider_ends_like_the_rules(wire: tuple[str, str]) -> None:
    dataset = bundled("mexican_3_9")
    search = {"search_algorithm": "optimal", "search_bandwidth": 3}
    played = await play(marketplace_rules(), dataset, config(**search), wire=wire)
    assert played.outcome.status == "completed"
    found = result(played.history)
    assert found == await by_rule(dataset, "cheapest_with_amenities", **search)
    assert found["customers_with_needs_met"] == 3
    assert played.report["total"]["calls"] == len(played.asked) > 0


@pytest.mark.parametrize("policy", ["cheapest", "random", "cheapest_with_amenities"])
@pytest.mark.parametrize(("algorithm", "bandwidth"), [("simple", 2), ("lexical", 4), ("optimal", 10)])
async def test_every_policy_and_search_ends_like_the_rules(policy: str, algorithm: str, bandwidth: int) -> None:
    dataset = bundled("mexican_3_9")
    search = {"search_algorithm": algorithm, "search_bandwidth": bandwidth, "seed": 7}
    played = await play(marketplace_rules(policy, seed=7), dataset, config(**search))
    assert result(played.history) == await by_rule(dataset, policy, **search)


@pytest.mark.parametrize("side", ["customer_policy", "business_policy"])
async def test_one_side_may_be_played_by_rules(side: str) -> None:
    dataset = bundled("mexican_3_9")
    rule = {"customer_policy": "cheapest", "business_policy": "rule_based"}[side]
    played = await play(marketplace_rules("cheapest"), dataset, config(**{side: rule}))
    assert result(played.history) == await by_rule(dataset, "cheapest")
    asked = {asked.schema_name for asked in played.asked}
    assert asked == {"BusinessAction" if side == "customer_policy" else "CustomerAction"}


async def test_requests_in_plain_prose_are_understood() -> None:
    wants = customer("c1", {"Taco": 3.99, "Soup": 9.49}, ["Parking"])
    wants = msgspec.structs.replace(wants, request="I would like one Taco and one Soup from a place with Parking.")
    places = [
        business("b1", {"Taco": 3.0, "Soup": 9.0}, {"Parking": False}),
        business("b2", {"Taco": 3.0}, {"Parking": True}),
        business("b3", {"Soup": 9.5, "Pie": 1.0, "Taco": 4.0}, {"Parking": True, "Music": False}),
    ]
    dataset = small(wants, businesses=places)
    played = await play(marketplace_rules(), dataset)
    found = result(played.history)
    assert found == await by_rule(dataset, "cheapest_with_amenities")
    assert found["business_summaries"][2]["utility"] == 13.5


async def test_the_optimal_policy_cannot_be_played() -> None:
    with pytest.raises(Invalid, match="Cannot play 'optimal'"):
        marketplace_rules("optimal")


def slowed(rules: list[Rule], seed: int) -> list[Rule]:
    """The same answers after times that differ from run to run."""
    chance = Random(seed)

    def late(rule: Rule) -> Rule:
        def answer(asked: Asked) -> Reply:
            return Reply(content=rule.reply(asked), delay_s=chance.random() * 0.03)  # type: ignore[operator, arg-type]

        return Rule(match=rule.match, reply=answer)

    return [late(rule) for rule in rules]


async def test_what_is_asked_does_not_depend_on_how_long_answers_take() -> None:
    dataset = bundled("mexican_3_9")
    digests = []
    for seed in (1, 2):
        effects = MemoryEffects()
        await play(slowed(marketplace_rules(), seed), dataset, config(search_bandwidth=4), effects=effects)
        digests.append({key: effect.request_digest for key, effect in effects.recorded.items()})
    assert digests[0] == digests[1]
    assert len(digests[0]) > 30


class Killed(MemoryEffects):
    """The process dies when it wants to record one call more than ``most``."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most
        self.died = asyncio.Event()

    async def record(self, key: str, effect: Effect) -> None:
        if len(self.recorded) >= self.most:
            self.died.set()
            await asyncio.Event().wait()
        await super().record(key, effect)


@pytest.mark.parametrize("most", [1, 7, 19])
async def test_a_killed_run_is_resumed_without_repeating_a_call(most: int) -> None:
    dataset, settings = bundled("mexican_3_9"), config(search_bandwidth=4)
    whole = await play(marketplace_rules(), dataset, settings)
    ledger = Killed(most)
    async with rig(slowed(marketplace_rules(), 5), effects=ledger) as r:
        attempt = asyncio.create_task(execute(settings, dataset, MarketplaceModel(r.decider)))
        await ledger.died.wait()
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt
    resumed = await play(marketplace_rules(), dataset, settings, effects=MemoryEffects(ledger.recorded))
    assert result(resumed.history) == result(whole.history)
    assert len(resumed.asked) == len(whole.asked) - most
    assert resumed.report["total"]["calls"] == len(whole.asked)


async def test_a_replay_gives_the_same_run_without_a_server() -> None:
    dataset, effects = bundled("mexican_3_9"), MemoryEffects()
    first = await play(marketplace_rules(), dataset, effects=effects)
    again = await play([], dataset, effects=effects, mode="replay")
    assert again.asked == []
    assert again.report == first.report
    assert result(again.history) == result(first.history)
    calls = [row["data"]["data"] for row in first.history.logs if row["data"]["message"] == "LLM call succeeded"]
    replayed = [row["data"]["data"] for row in again.history.logs if row["data"]["message"] == "LLM call succeeded"]
    assert sorted(map(repr, calls)) == sorted(map(repr, replayed))


async def test_a_replay_of_another_experiment_names_the_first_difference() -> None:
    dataset, effects = bundled("mexican_3_9"), MemoryEffects()
    await play(marketplace_rules(), dataset, effects=effects)
    other = msgspec.structs.replace(dataset.customers[0], request="Something else.")
    changed = Dataset(dataset.name, [other, *dataset.customers[1:]], dataset.businesses)
    with pytest.raises(StoppedByModel) as caught:
        await play([], changed, effects=effects, mode="replay")
    failure = caught.value.failure
    assert isinstance(failure, Divergence)
    assert failure.extra["key"] == "llm/customer_0001/1"
    assert "Something else." in failure.extra["difference"]


async def test_failures_of_a_business_with_many_customers_replay_alike() -> None:
    dataset, effects = bundled("mexican_10_30"), MemoryEffects()
    broken = Rule(
        match=lambda asked: "Customer just said" in asked.prompt and hash_of(asked) % 2 == 0,
        fault=Fault(kind="status", status=400),
    )
    rules = [broken, *slowed(marketplace_rules(), 3)]
    first = await play(rules, dataset, config(search_bandwidth=3), effects=effects)
    again = await play([], dataset, config(search_bandwidth=3), effects=effects, mode="replay")
    assert first.report["total"]["failed_calls"] > 10
    assert first.logged("No further answers")
    assert again.report == first.report
    assert result(again.history) == result(first.history)


def hash_of(asked: Asked) -> int:
    return sum(asked.prompt.encode())


@pytest.mark.parametrize("kind", ["malformed_text", "wrong_schema", "no_tools", "drop"])
async def test_faults_on_the_way_do_not_change_the_result(kind: Any) -> None:
    dataset = bundled("mexican_3_9")
    times = None if kind == "no_tools" else 5
    faulty = [Rule(fault=Fault(kind=kind), times=times), *marketplace_rules()]
    played = await play(faulty, dataset)
    assert played.outcome.status == "completed"
    failed = {"failed_llm_calls": result(played.history)["failed_llm_calls"]}
    assert result(played.history) == await by_rule(dataset, "cheapest_with_amenities") | failed

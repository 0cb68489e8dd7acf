"""Whole runs with rule-based policies: order, identities with the baselines, determinism and limits."""

from __future__ import annotations

import asyncio
import math
import random
from typing import Any

import pytest

from tests.marketplace.builders import actions_by_agent, business, customer, run
from trialbook.clock import FixedClock
from trialbook.errors import Invalid
from trialbook.ids import CountingIds
from trialbook_marketplace.analytics import analyse
from trialbook_marketplace.baselines import exact_baselines, options
from trialbook_marketplace.config import ExperimentConfig
from trialbook_marketplace.datasets import bundled_root, load_dataset
from trialbook_marketplace.experiment import Unattended, run_experiment
from trialbook_marketplace.models import Dataset
from trialbook_marketplace.rows import History, Row, SinkFailed, log_entry

SMALL = load_dataset(bundled_root() / "mexican_3_9")
SHIPPED = ["mexican_3_9", "mexican_10_30", "mexican_33_99", "mexican_100_300"]


def result(history: History) -> dict[str, Any]:
    return analyse(history.agents, history.actions, history.logs)


def messages(history: History, level: str = "info") -> list[str]:
    return [row["data"]["message"] for row in history.logs if row["data"]["level"] == level]


@pytest.mark.parametrize("name", SHIPPED)
def test_policies_reach_the_baselines_to_the_cent(name: str) -> None:
    dataset = load_dataset(bundled_root() / name)
    exact = exact_baselines(dataset.customers, dataset.businesses)
    for policy, expected in (
        ("cheapest", exact.pick_cheapest),
        ("cheapest_with_amenities", exact.pick_optimal),
        ("optimal", exact.pick_optimal),
    ):
        outcome, history = run(dataset, search_algorithm="optimal", customer_policy=policy)
        found = result(history)
        assert outcome.status == "completed"
        assert found["total_marketplace_customer_utility"] == expected
        assert found["customers_who_made_purchases"] == len(dataset.customers)
        revenue = math.fsum(entry["utility"] for entry in found["business_summaries"])
        paid = found["transaction_summary"]["average_paid_order_value"] * len(dataset.customers)
        assert revenue == pytest.approx(paid)
        if policy != "cheapest":
            assert found["customers_with_needs_met"] == len(dataset.customers)
            assert found["baselines"]["welfare_share_of_optimal"] == 1.0
        assert found["proposal_errors"] == []


@pytest.mark.parametrize("seed", range(4))
def test_random_buys_one_of_the_options(seed: int) -> None:
    dataset = load_dataset(bundled_root() / "mexican_10_30")
    _, history = run(dataset, search_algorithm="optimal", customer_policy="random", seed=seed)
    for entry, buyer in zip(result(history)["customer_summaries"], dataset.customers, strict=True):
        values = {option.utility for option in options(buyer, dataset.businesses)}
        assert entry["utility"] in values
        assert entry["payments_made"] == 1


def test_random_depends_on_the_seed_only() -> None:
    def bought(seed: int) -> list[float]:
        _, history = run(SMALL, customer_policy="random", seed=seed)
        return [entry["utility"] for entry in result(history)["customer_summaries"]]

    assert bought(1) == bought(1)
    assert len({tuple(bought(seed)) for seed in range(8)}) > 1


def test_first_page_without_a_match_turns_pages() -> None:
    outcome, history = run(SMALL, search_bandwidth=2)
    found = result(history)
    assert outcome.status == "completed"
    assert found["customers_with_needs_met"] == 3
    searches = [entry["searches_made"] for entry in found["customer_summaries"]]
    assert searches != [1, 1, 1]


def test_optimal_contacts_one_business_only() -> None:
    _, history = run(SMALL, customer_policy="optimal", search_bandwidth=2)
    found = result(history)
    assert found["transaction_summary"]["order_proposals_created"] == 3
    assert [entry["messages_sent"] for entry in found["customer_summaries"]] == [2, 2, 2]


def test_nobody_sells_what_is_wanted() -> None:
    dataset = Dataset("none", [customer(wants={"Cake": 1.0})], [business("b1"), business("b2")])
    for policy in ("random", "cheapest", "cheapest_with_amenities", "optimal"):
        outcome, history = run(dataset, customer_policy=policy, search_bandwidth=1)
        assert outcome.status == "completed"
        assert result(history)["transaction_summary"]["payments_made"] == 0
    unfit = Dataset("unfit", [customer(needs=["Sauna"])], [business("b1")])
    _, history = run(unfit)
    assert result(history)["transaction_summary"]["order_proposals_created"] == 1
    assert result(history)["customers_who_made_purchases"] == 0


def test_equal_prices_go_to_the_earlier_registered_whatever_the_rating() -> None:
    sellers = [business("b1", rating=0.1), business("b2", rating=0.9)]
    for policy in ("cheapest", "cheapest_with_amenities", "optimal"):
        _, history = run(Dataset("tie", [customer()], sellers), customer_policy=policy)
        revenue = {entry["business_id"]: entry["utility"] for entry in result(history)["business_summaries"]}
        assert revenue == {"b1": 13.51, "b2": 0.0}


@pytest.mark.parametrize("policy", ["random", "cheapest", "cheapest_with_amenities"])
def test_only_complete_proposals_are_bought(policy: str) -> None:
    sellers = [business("b1", {"Taco": 0.5}), business("b2"), business("b3", {"Soup": 0.5})]
    for seed in range(4):
        _, history = run(Dataset("part", [customer()], sellers), customer_policy=policy, seed=seed)
        assert [entry["utility"] for entry in result(history)["business_summaries"]] == [0.0, 13.51, 0.0]


def test_order_of_a_run() -> None:
    outcome, history = run(SMALL)
    assert [row["data"]["metadata"]["type"] for row in history.agents] == ["customer"] * 3 + ["business"] * 9
    entries = [log_entry(row) for row in history.logs]
    assert entries[0]["message"] == "Marketplace experiment started"
    assert entries[0]["data"] == {"experiment_name": "test", "dataset": "mexican_3_9", "businesses": 9, "customers": 3}
    assert entries[0]["agent_id"] is None
    assert entries[1]["data"] == {"customer_id": "customer_0001"}
    assert entries[1]["message"] == "Customer agent registered"
    assert entries[4]["message"] == "Business agent registered"
    assert entries[4]["agent_id"] == "business_0001"
    assert all(entry["agent_id"] for entry in entries[1:])
    assert (outcome.agents, outcome.actions, outcome.logs) == (12, len(history.actions), len(history.logs))
    for kind in (history.agents, history.actions, history.logs):
        assert [row["index"] for row in kind] == list(range(1, len(kind) + 1))
    found = messages(history)
    assert found.count("Starting autonomous shopping agent") == 3
    assert found.count("Ready for customers") == 9
    assert "[Step 1/inf] Action: search_businesses. Reason: Looking for businesses." in found
    confirmations = [row for row in history.actions if "Payment received!" in str(row["data"]["request"])]
    assert len(confirmations) == 3
    sending = next(entry for entry in entries if entry["message"].startswith("Sending text message to "))
    assert sending["data"]["type"] == "send_message"
    assert messages(history, "warning") == messages(history, "error") == []


def test_steps_of_a_customer() -> None:
    _, history = run(SMALL)
    mine = actions_by_agent(history)["customer_0001"]
    assert [name for name, _ in mine] == ["Search", *["SendMessage"] * 9, "FetchMessages", "SendMessage"]
    assert [row["from_agent_id"] for row in _inbox(history, "customer_0001")][:9] == [
        f"business_{k:04d}" for k in range(1, 10)
    ]


def _inbox(history: History, agent: str) -> list[dict[str, Any]]:
    rows = [row["data"] for row in history.actions if row["data"]["agent_id"] == agent]
    fetched = next(row for row in rows if row["request"]["name"] == "FetchMessages")
    found: list[dict[str, Any]] = fetched["result"]["content"]["messages"]
    return found


@pytest.mark.parametrize(("steps", "payments", "warnings"), [(1, 0, 3), (3, 0, 3), (4, 3, 3), (5, 3, 0), (9, 3, 0)])
def test_step_limit(steps: int, payments: int, warnings: int) -> None:
    outcome, history = run(SMALL, customer_max_steps=steps)
    assert outcome.status == "completed"
    assert result(history)["transaction_summary"]["payments_made"] == payments
    assert messages(history, "warning") == ["Max steps exceeded, shutting down early!"] * warnings
    assert any(f"[Step 1/{steps}] " in message for message in messages(history))
    confirmed = [message for message in messages(history) if " confirmed to " in message]
    assert len(confirmed) == payments


def test_same_seed_gives_the_same_history() -> None:
    first, second = (run(SMALL, customer_policy="random", seed=3)[1] for _ in range(2))
    assert first == second


class Shaken(Unattended):
    """Delays every step by a random number of turns of the event loop."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    async def checkpoint(self) -> None:
        for _ in range(self.random.randrange(6)):
            await asyncio.sleep(0)


@pytest.mark.parametrize("policy", ["cheapest_with_amenities", "random", "optimal"])
def test_interleaving_does_not_change_what_an_agent_does(policy: str) -> None:
    dataset = load_dataset(bundled_root() / "mexican_10_30")
    config: dict[str, Any] = {"customer_policy": policy, "search_bandwidth": 7, "search_algorithm": "lexical"}
    expected = actions_by_agent(run(dataset, **config)[1])
    orders = set()
    for seed in range(5):
        _, history = run(dataset, control=Shaken(seed), **config)
        assert actions_by_agent(history) == expected
        orders.add(tuple(row["data"]["agent_id"] for row in history.actions))
    assert len(orders) > 1, "the shaking must have changed the order between agents"


def test_two_runs_at_once_do_not_see_each_other() -> None:
    async def both() -> list[History]:
        histories = [History(), History()]
        datasets = [SMALL, load_dataset(bundled_root() / "mexican_10_30")]
        await asyncio.gather(
            *(
                run_experiment(ExperimentConfig("x"), dataset, history, FixedClock(), CountingIds(), Shaken(7))
                for dataset, history in zip(datasets, histories, strict=True)
            )
        )
        return histories

    together = asyncio.run(both())
    assert actions_by_agent(together[0]) == actions_by_agent(run(SMALL)[1])
    assert len(together[1].agents) == 40


class Stopping(Unattended):
    """Cancels after some checkpoints."""

    def __init__(self, after: int) -> None:
        self.left = after

    def cancelled(self) -> bool:
        self.left -= 1
        return self.left < 0


@pytest.mark.parametrize("after", [0, 1, 5, 14, 20])
def test_cancel(after: int) -> None:
    outcome, history = run(SMALL, control=Stopping(after))
    assert (outcome.status, outcome.error) == ("failed", "Cancelled")
    assert result(history)["total_actions_executed"] == outcome.actions


def test_cancelling_the_task_ends_all_agents() -> None:
    class Held(Unattended):
        async def checkpoint(self) -> None:
            await asyncio.sleep(3600)

    async def cancel() -> None:
        work = run_experiment(ExperimentConfig("x"), SMALL, History(), FixedClock(), CountingIds(), Held())
        task = asyncio.create_task(work)
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(cancel())


def test_progress() -> None:
    class Watched(Unattended):
        def __init__(self) -> None:
            self.seen: list[tuple[int, int]] = []

        def progress(self, finished: int, total: int) -> None:
            self.seen.append((finished, total))

    watched = Watched()
    run(SMALL, control=watched)
    assert watched.seen == [(1, 3), (2, 3), (3, 3)]


def test_a_failing_sink_fails_the_run() -> None:
    class Full(History):
        def log(self, row: Row) -> None:
            if row["index"] == 60:
                raise OSError("disk full")
            super().log(row)

    work = run_experiment(ExperimentConfig("x"), SMALL, Full(), FixedClock(), CountingIds(), Unattended())
    with pytest.raises(SinkFailed, match="disk full"):
        asyncio.run(work)


@pytest.mark.parametrize("side", ["customer_policy", "business_policy"])
def test_a_model_policy_without_model_is_refused(side: str) -> None:
    config: dict[str, Any] = {side: "llm"}
    with pytest.raises(Invalid, match="LLM provider"):
        run(SMALL, **config)


def test_partial_histories_can_be_analysed() -> None:
    _, history = run(SMALL)
    for upto in range(0, len(history.actions), 7):
        found = analyse(history.agents, history.actions[:upto], history.logs)
        assert found["total_actions_executed"] == upto
    empty = analyse([], [], [])
    assert (empty["total_customers"], empty["average_utility_per_active_customer"]) == (0, None)

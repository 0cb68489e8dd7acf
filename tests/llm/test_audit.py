"""Audit and traces of runs with model calls."""

from __future__ import annotations

from typing import Any

from tests.llm.markets import action, bundled, config, offers, pays, play, sell, shop, small, texts
from tests.marketplace.builders import business, customer
from tests.marketplace.builders import run as run_by_rule
from trialbook_marketplace.analytics import audit, traces
from trialbook_marketplace.llm.script import marketplace_rules
from trialbook_marketplace.rows import History

END = action("end_transaction")
CHECK = action("check_messages")


def audited(history: History) -> dict[str, Any]:
    return audit(history.agents, history.actions, history.logs)


async def test_proposals_that_the_customer_saw_are_found() -> None:
    played = await play(marketplace_rules(), bundled("mexican_3_9"))
    found = audited(played.history)
    assert found["total_proposals"] == found["found"] > 3
    assert (found["missing"], found["missing_proposals"], found["reasons"]) == (0, [], {})
    assert found["customers_without_llm_logs"] == []
    assert found["below_optimal"] == []
    counts = found["customers"]
    assert sorted(counts) == ["customer_0001", "customer_0002", "customer_0003"]
    assert sum(count["found"] for count in counts.values()) == found["found"]


async def test_a_proposal_that_was_never_read_is_missing() -> None:
    played = await play(shop(texts("b1"), END) + sell(offers()), small())
    found = audited(played.history)
    assert (found["total_proposals"], found["found"], found["missing"]) == (1, 0, 1)
    assert found["missing_proposals"] == [
        {
            "proposal_id": "b1_c1_1",
            "business_agent_id": "b1",
            "customer_agent_id": "c1",
            "reason": "not in the prompt or response of the customer's last LLM call",
        }
    ]
    assert found["customers"] == {"c1": {"proposals": 1, "found": 0, "missing": 1}}


def test_customers_without_calls_are_named() -> None:
    _, history = run_by_rule(small())
    found = audited(history)
    assert found["customers_without_llm_logs"] == ["c1"]
    assert found["reasons"] == {"customer made no LLM call": 1}


async def test_bad_buys_are_listed_by_gap() -> None:
    wants = {"Taco": 4.0}
    parties = [customer(f"c{n}", wants, ["Parking"]) for n in (1, 2, 3)]
    places = [
        business("b1", {"Taco": 3.0}),
        business("b2", {"Taco": 5.0}),
        business("b3", {"Taco": 6.0}, {"Parking": False}),
    ]
    rules: list[Any] = []
    for who, at, price in (("c1", "b1", 3.0), ("c2", "b2", 5.0), ("c3", "b3", 6.0)):
        decisions = [texts(at), CHECK, pays(f"{at}_{who}_1", to=at), END]
        for rule in shop(*decisions):
            rule.match = f'agent ID is: "{who}"'
            rules.append(rule)
        answer = sell(offers(total=price, price=price, to=who))[0]
        answer.match = f"- to_customer_id: {who}"
        rules.append(answer)
    played = await play(rules, small(*parties, businesses=places))
    assert audited(played.history)["below_optimal"] == [
        {"customer_id": "c3", "utility": -6.0, "optimal_utility": 5.0, "gap": 11.0},
        {"customer_id": "c2", "utility": 3.0, "optimal_utility": 5.0, "gap": 2.0},
    ]


async def test_a_trace_per_customer_and_per_conversation() -> None:
    place = business("b1", {"Taco": 4.02}, name="The Place")
    talk = texts("b1", content="1 x Taco\n```\nplease")
    played = await play(shop(talk, CHECK, pays("b1_c1_1"), END) + sell(offers()), small(businesses=[place]), config())
    documents = traces(played.history.agents, played.history.actions, played.history.logs)
    assert list(documents) == ["conversations/b1_c1.md", "customers/c1.md"]
    about = documents["customers/c1.md"]
    assert about.startswith("# Name c1 (c1)\n\n## Request\n\nI want food.")
    for part in ("- Taco: 3.99", "- Parking", "- model: scripted", "### Prompt", "**user**", "### Response format",
                 '"action_type": "end_transaction"'):  # fmt: skip
        assert part in about
    conversation = documents["conversations/b1_c1.md"]
    assert conversation.startswith("# The Place (b1) and Name c1 (c1)")
    order = ["## Name c1: text", "````text\n1 x Taco\n```\nplease\n````", "## The Place: order_proposal",
             "## Name c1: payment", "## The Place: text"]  # fmt: skip
    places = [conversation.index(part) for part in order]
    assert places == sorted(places)


def test_a_run_without_calls_has_traces_too() -> None:
    _, history = run_by_rule(small())
    documents = traces(history.agents, history.actions, history.logs)
    assert documents["customers/c1.md"].endswith("## Last LLM call\n\nNone.\n")

"""Needs, utilities, errors and summaries on hand-made histories, with the example of the facts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.marketplace.builders import business, customer, market, payment, proposal, run, send
from trialbook_marketplace.analytics import analyse, threads
from trialbook_marketplace.analytics.matching import closest, levenshtein, match_items
from trialbook_marketplace.datasets import bundled_root, load_dataset
from trialbook_marketplace.models import Business, Customer
from trialbook_marketplace.protocol.actions import FetchMessages, Search
from trialbook_marketplace.protocol.messages import OrderItem, OrderProposal, TextMessage
from trialbook_marketplace.rows import History


def deal(
    *offers: OrderProposal,
    parties: Sequence[Customer | Business] | None = None,
    paid: Sequence[str] | None = None,
) -> History:
    """A history in which b1 offers to c1, who pays all offers (or those named)."""
    made, history = market(*(parties or (customer(), business())))
    for offer in offers:
        made.execute("b1", send("b1", "c1", offer))
    for ident in [offer.id for offer in offers] if paid is None else paid:
        made.execute("c1", send("c1", "b1", payment(ident)))
    return history


def result(history: History, distance: int = 0) -> dict[str, Any]:
    return analyse(history.agents, history.actions, history.logs, distance)


def utility(history: History, distance: int = 0) -> tuple[float, bool]:
    summary = result(history, distance)["customer_summaries"][0]
    return summary["utility"], summary["needs_met"]


def test_example_of_the_facts() -> None:
    assert utility(deal(proposal())) == (13.45, True)


def test_nothing_paid() -> None:
    assert utility(deal(proposal(), paid=[])) == (0.0, False)


def test_bonus_counts_once_and_every_payment_is_paid() -> None:
    assert utility(deal(proposal("p1"), proposal("p2"))) == (-0.06, True)


def test_missing_item_or_amenity_gives_no_bonus() -> None:
    assert utility(deal(proposal(total=4.02, items={"Taco": 4.02}))) == (-4.02, False)
    dry = business(amenities={"Parking": False})
    assert utility(deal(proposal(), parties=(customer(), dry))) == (-13.51, False)
    unknown = business(amenities={})
    assert utility(deal(proposal(), parties=(customer(), unknown))) == (-13.51, False)


def test_items_spread_over_two_payments_do_not_meet_the_needs() -> None:
    split = [proposal("p1", 4.02, {"Taco": 4.02}), proposal("p2", 9.49, {"Soup": 9.49})]
    assert utility(deal(*split)) == (-13.51, False)


def test_extra_items_are_no_obstacle() -> None:
    shop = business(menu={"Taco": 4.02, "Soup": 9.49, "Cake": 1.0})
    rich = proposal(total=14.51, items={"Taco": 4.02, "Soup": 9.49, "Cake": 1.0})
    assert utility(deal(rich, parties=(customer(), shop))) == (12.45, True)


def test_items_that_are_not_on_the_menu_do_not_count() -> None:
    shop = business(menu={"Taco": 4.02})
    assert utility(deal(proposal(), parties=(customer(), shop))) == (-13.51, False)


def test_fuzzy_matching_meets_the_needs() -> None:
    misspelt = deal(proposal(items={"Tacco": 4.02, "soup": 9.49}))
    assert utility(misspelt, 0) == (-13.51, False)
    assert utility(misspelt, 1) == (13.45, True)


def busy_history() -> History:
    made, history = market(customer("c1"), customer("c2"), business("b1"), business("b2"))
    made.execute("c1", Search("x", "simple"))
    made.execute("c1", Search("x", "simple", page=0))
    made.execute("c1", send("c1", "b1", TextMessage("hi")))
    made.execute("c1", send("c1", "ghost", TextMessage("hi")))
    made.execute("b1", FetchMessages())
    made.execute("b1", send("b1", "c1", proposal("p1")))
    made.execute("b2", send("b2", "c1", proposal("p1", 20.0)))
    made.execute("c1", send("c1", "b1", payment("p1")))
    return history


def test_counts() -> None:
    found = result(busy_history())
    assert found["total_actions_executed"] == 8
    assert found["total_messages_sent"] == 4
    assert found["action_breakdown"] == {"FetchMessages": 1, "Search": 2, "SendMessage": 5}
    assert found["message_type_breakdown"] == {"order_proposal": 2, "payment": 1, "text": 1}
    assert found["transaction_summary"] == {
        "order_proposals_created": 2,
        "payments_made": 1,
        "average_proposal_value": pytest.approx(16.755),
        "average_paid_order_value": 13.51,
        "total_invalid_proposals": 1,
        "invalid_proposals_purchased": 0,
    }
    assert (found["total_llm_calls"], found["llm_providers"]) == (0, [])
    assert found["purchase_completion_rate"] == 50.0


def test_summaries_by_agent() -> None:
    found = result(busy_history())
    assert found["customer_summaries"] == [
        {
            "customer_id": "c1",
            "customer_name": "Name c1",
            "messages_sent": 2,
            "proposals_received": 2,
            "payments_made": 1,
            "searches_made": 1,
            "utility": 13.45,
            "needs_met": True,
        },
        {
            "customer_id": "c2",
            "customer_name": "Name c2",
            "messages_sent": 0,
            "proposals_received": 0,
            "payments_made": 0,
            "searches_made": 0,
            "utility": 0.0,
            "needs_met": False,
        },
    ]
    assert found["business_summaries"][0] == {
        "business_id": "b1",
        "business_name": "Name b1",
        "messages_sent": 1,
        "proposals_sent": 1,
        "utility": 13.51,
    }
    assert found["customers_who_made_purchases"] == found["customers_with_needs_met"] == 1
    assert found["total_marketplace_customer_utility"] == found["average_utility_per_active_customer"] == 13.45
    assert found["baselines"]["pick_optimal"] == 26.9
    assert found["baselines"]["welfare_share_of_optimal"] == pytest.approx(0.5)


def test_model_calls_come_from_the_logs() -> None:
    made, history = market()
    call = {"type": "llm_call", "success": True, "provider": "openai", "model": "m2"}
    made.log("debug", "LLM call succeeded", call, "c1")
    made.log("debug", "LLM call failed", call | {"success": False, "model": "m1"}, "b1")
    made.log("info", "another", {"type": "else", "provider": "nobody"})
    found = result(history)
    assert (found["total_llm_calls"], found["failed_llm_calls"]) == (2, 1)
    assert (found["llm_providers"], found["llm_models"]) == (["openai"], ["m1", "m2"])


def errors(offer: OrderProposal, distance: int = 0) -> list[dict[str, Any]]:
    found = result(deal(offer, paid=[]), distance)["proposal_errors"]
    for error in found:
        assert (error.pop("proposal_id"), error.pop("business_agent_id"), error.pop("customer_agent_id")) == (
            offer.id,
            "b1",
            "c1",
        )
    assert isinstance(found, list)
    return found


def test_a_good_proposal_has_no_errors() -> None:
    assert errors(proposal()) == []


def test_item_errors() -> None:
    assert errors(proposal(total=3.0, items={"Tacos": 3.0})) == [
        {
            "type": "invalid_menu_item",
            "proposed_menu_item": "Tacos",
            "closest_menu_item": "Taco",
            "closest_menu_item_distance": 1,
        }
    ]
    assert errors(proposal(total=4.02, items={"Tacos": 4.02}), 1) == []
    priced = {"type": "invalid_menu_item_price", "menu_item": "Taco", "proposed_price": 3.0, "actual_price": 4.02}
    assert errors(proposal(total=3.0, items={"Tacos": 3.0}), 1) == [priced]


@pytest.mark.parametrize(("price", "wrong"), [(4.02, 0), (4.03, 1), (4.01, 1), (4.025, 0)])
def test_a_cent_is_a_wrong_price(price: float, wrong: int) -> None:
    assert len(errors(proposal(total=price, items={"Taco": price}))) == wrong


def test_total_error() -> None:
    lines = [OrderItem("1", "Taco", 3, 4.02)]
    assert errors(OrderProposal("p", lines, 12.06)) == []
    assert errors(OrderProposal("p", lines, 4.02)) == [
        {"type": "invalid_total_price", "proposed_total_price": 4.02, "calculated_total_price": 12.06}
    ]


def test_proposals_between_the_wrong_agents() -> None:
    made, history = market(customer("c1"), customer("c2"), business("b1"), business("b2"))
    made.execute("b1", send("b1", "b2", proposal("p1")))
    made.execute("c1", send("c1", "c2", proposal("p2")))
    found = [(error["type"], error["proposal_id"]) for error in result(history)["proposal_errors"]]
    assert found == [("invalid_customer", "p1"), ("invalid_business", "p2")]


def test_invalid_proposals_that_were_bought() -> None:
    summary = result(deal(proposal(total=1.0)))["transaction_summary"]
    assert (summary["total_invalid_proposals"], summary["invalid_proposals_purchased"]) == (1, 1)


def test_the_last_proposal_of_an_id_before_the_payment_is_the_one_paid() -> None:
    history = deal(proposal("p", 99.0), proposal("p", 13.51), paid=["p"])
    assert utility(history) == (13.45, True)


def test_threads() -> None:
    made, history = market(customer("c1"), customer("c2"), business("b1", {"Taco": 4.02, "Soup": 9.49}), business("b2"))
    made.execute("c1", Search("tacos", "simple"))
    made.execute("c1", send("c1", "b1", TextMessage("hi")))
    made.execute("c2", send("c2", "b2", TextMessage("hello")))
    made.execute("b1", send("b1", "c1", proposal()))
    made.execute("c1", send("c1", "b1", payment()))
    found = threads(history.agents, history.actions, history.logs)
    assert [message["type"] for message in found["messages"]] == ["search", "text", "text", "order_proposal", "payment"]
    assert found["messages"][0]["content"] == {"query": "tacos", "business_ids": ["b1", "b2"]}
    first, second = found["messageThreads"]
    assert (first["participants"], first["utility"]) == ({"customer": "c1", "business": "b1"}, 13.45)
    assert (second["participants"], second["utility"]) == ({"customer": "c2", "business": "b2"}, 0.0)
    assert [message["type"] for message in first["messages"]] == ["text", "order_proposal", "payment"]
    assert found["businesses"][0]["price_min"] == 4.02
    assert found["customers"][0]["user_request"] == "I want food."
    assert found["analytics"]["total_messages_sent"] == 4


def test_conversation_bonus_needs_exactly_the_wanted_items() -> None:
    shop = business(menu={"Taco": 4.02, "Soup": 9.49, "Cake": 1.0})
    rich = proposal(total=14.51, items={"Taco": 4.02, "Soup": 9.49, "Cake": 1.0})
    history = deal(rich, parties=(customer(), shop))
    assert threads(history.agents, history.actions, history.logs)["messageThreads"][0]["utility"] == -14.51


def test_threads_of_a_whole_run() -> None:
    _, history = run(load_dataset(bundled_root() / "mexican_10_30"))
    found = threads(history.agents, history.actions, history.logs)
    times = [thread["lastMessageTime"] for thread in found["messageThreads"]]
    assert times == sorted(times, reverse=True)
    total = sum(thread["utility"] for thread in found["messageThreads"])
    assert total == pytest.approx(found["analytics"]["total_marketplace_customer_utility"])


@pytest.mark.parametrize(("one", "other", "distance"), [("", "abc", 3), ("kitten", "sitting", 3), ("taco", "taco", 0)])
def test_levenshtein(one: str, other: str, distance: int) -> None:
    assert levenshtein(one, other) == levenshtein(other, one) == distance


@given(st.text(max_size=8), st.text(max_size=8), st.text(max_size=8))
def test_levenshtein_is_a_metric(a: str, b: str, c: str) -> None:
    assert (levenshtein(a, b) == 0) == (a == b)
    assert levenshtein(a, c) <= levenshtein(a, b) + levenshtein(b, c)
    assert levenshtein(a, b) <= max(len(a), len(b))


def test_matching_is_greedy_and_uses_each_name_once() -> None:
    assert match_items(["Taco", "Tako"], ["Taco", "Tacq"], 0) == {"Taco": "Taco"}
    assert match_items(["Taco", "Tako"], ["Taco", "Tacq"], 2) == {"Taco": "Taco", "Tacq": "Tako"}
    assert match_items(["abcd"], ["abcx", "abxy"], 2) == {"abcx": "abcd"}
    assert match_items(["b", "a"], ["c"], 1) == {"c": "a"}


def test_closest() -> None:
    assert closest("Tacos", ["Soup", "Tacoz", "Taco"]) == ("Taco", 1)
    assert closest("x", []) == (None, None)

"""A script for the model server that plays the rule-based policies from the prompts alone.

It sees what a model sees, so it reads the wanted items from the request (in quotes, or by what businesses offer) and
the required amenities from what businesses disclose. Ties go to the lower business id, which is registration order in
generated datasets. ``optimal`` knows the dataset and cannot be played.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from trialbook.errors import Invalid
from trialbook.testing.llm import Asked, Rule
from trialbook_marketplace.agents.business_rules import RuleBasedBusiness
from trialbook_marketplace.agents.order_text import disclosed
from trialbook_marketplace.llm.reading import (
    Offered,
    Shopping,
    is_business_prompt,
    is_customer_prompt,
    read_business,
    read_customer,
)
from trialbook_marketplace.seeded import seeded

PLAYABLE = ("cheapest_with_amenities", "cheapest", "random")
_QUOTED = re.compile(r"[\"\u201c]([^\"\u201c\u201d\n]+)[\"\u201d]")


def marketplace_rules(customer_policy: str = "cheapest_with_amenities", seed: int = 0) -> list[Rule]:
    """One rule for the prompts of customers and one for those of businesses. Raises ``Invalid``."""
    if customer_policy not in PLAYABLE:
        raise Invalid("unknown_policy", f"Cannot play {customer_policy!r}. Choose one of: {', '.join(PLAYABLE)}.")
    shopper = ScriptedShopper(customer_policy, seed)
    return [
        Rule(match=lambda asked: is_customer_prompt(asked.prompt), reply=shopper.answer),
        Rule(match=lambda asked: is_business_prompt(asked.prompt), reply=answer_as_business),
    ]


def answer_as_business(asked: Asked) -> dict[str, Any]:
    """The decision of the rule-based business that the prompt describes."""
    question = read_business(asked.prompt)
    action = RuleBasedBusiness(question.business).answer(question.customer_id, question.text)
    plain: dict[str, Any] = msgspec.to_builtins(action)
    return plain


class ScriptedShopper:
    """Decides as the rule-based customer does, statelessly."""

    def __init__(self, policy: str, seed: int) -> None:
        self._policy = policy
        self._seed = seed

    def answer(self, asked: Asked) -> dict[str, Any]:
        """The decision for a customer's prompt."""
        state = read_customer(asked.prompt)
        if state.paid:
            return _step("end_transaction", "The order is paid.")
        if not state.page:
            return _search(state, 1)
        if state.hits and not state.asked:
            return _ask(state)
        if state.asked and not state.checked:
            return _step("check_messages", "Reading the answers.")
        offer = self._choose(state)
        if offer is not None:
            return _pay(offer)
        if state.page < state.pages:
            return _search(state, state.page + 1)
        return _step("end_transaction", "No suitable offer was found.")

    def _choose(self, state: Shopping) -> Offered | None:
        complete = _complete(state)
        if self._policy == "cheapest_with_amenities":
            complete = _confirmed(complete, state.offers)
        if not complete:
            return None
        if self._policy == "random":
            return seeded(self._seed, state.customer_id).choice(complete)
        return min(complete, key=lambda offer: float(offer.proposal["total_price"]))


def wanted_items(request: str) -> list[str]:
    """The items that a request names in quotes."""
    return list(dict.fromkeys(" ".join(name.split()) for name in _QUOTED.findall(request)))


def _complete(state: Shopping) -> list[Offered]:
    """Offers with every wanted item, by business id; without quotes, wanted is what anybody offered."""
    wanted = set(wanted_items(state.request)) or set().union(*(_items(offer) for offer in state.offers))
    fitting = [o for o in state.offers if o.proposal["id"] not in state.refused and wanted <= _items(o)]
    return sorted(fitting, key=lambda offer: offer.business_id)


def _items(offer: Offered) -> set[str]:
    return {str(item["item_name"]) for item in offer.proposal["items"]}


def _confirmed(complete: Sequence[Offered], offers: Sequence[Offered]) -> list[Offered]:
    """Those that offer every amenity which any business had a reason to mention."""
    known = {id(offer): disclosed(offer.proposal.get("special_instructions")) for offer in offers}
    required = set().union(*known.values())
    return [offer for offer in complete if all(known[id(offer)].get(name, False) for name in required)]


def _step(kind: str, reason: str, **more: Any) -> dict[str, Any]:
    empty = {"search_query": None, "search_page": 1, "messages": None}
    return {"action_type": kind, "reason": reason, **empty, **more}


def _search(state: Shopping, page: int) -> dict[str, Any]:
    return _step("search_businesses", "Looking for businesses.", search_query=state.request, search_page=page)


def _ask(state: Shopping) -> dict[str, Any]:
    items = wanted_items(state.request)
    text = "\n".join(
        [state.request, *(["Items wanted: " + "; ".join(f"1 x {item}" for item in items)] if items else [])]
    )
    texts = [{"type": "text", "content": text, "to_business_id": business} for business in state.hits]
    return _step("send_messages", "Asking for proposals.", messages={"text_messages": texts, "pay_messages": []})


def _pay(offer: Offered) -> dict[str, Any]:
    payment = {
        "type": "payment", "proposal_message_id": offer.proposal["id"], "payment_method": None,
        "delivery_address": None, "payment_message": None, "to_business_id": offer.business_id,
    }  # fmt: skip
    messages = {"text_messages": [], "pay_messages": [payment]}
    return _step("send_messages", "Paying the chosen proposal.", messages=messages)

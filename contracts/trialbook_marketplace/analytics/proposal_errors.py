"""What is wrong with proposals: unknown agents, items, prices and totals (facts, section 11)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from trialbook_marketplace.analytics.ledger import Ledger, Proposed
from trialbook_marketplace.analytics.matching import closest, match_items
from trialbook_marketplace.models import Business

CENT = 0.01


def proposal_errors(proposed: Proposed, ledger: Ledger, distance: int) -> list[dict[str, Any]]:
    """Every error of one proposal, each with its type and the ids of proposal, business and customer."""
    who = {
        "proposal_id": proposed.proposal.id,
        "business_agent_id": proposed.sender,
        "customer_agent_id": proposed.recipient,
    }
    business = ledger.businesses.get(proposed.sender)
    found: list[dict[str, Any]] = []
    if business is None:
        found.append({"type": "invalid_business"})
    if proposed.recipient not in ledger.customers:
        found.append({"type": "invalid_customer"})
    if business is not None:
        found += _item_errors(proposed, business, distance)
    calculated = math.fsum(item.unit_price * item.quantity for item in proposed.proposal.items)
    if _differs(proposed.proposal.total_price, calculated):
        total = {"proposed_total_price": proposed.proposal.total_price, "calculated_total_price": round(calculated, 6)}
        found.append({"type": "invalid_total_price", **total})
    return [{"type": error.pop("type"), **who, **error} for error in found]


def _item_errors(proposed: Proposed, business: Business, distance: int) -> Iterator[dict[str, Any]]:
    items = proposed.proposal.items
    matched = match_items(business.menu_features, (item.item_name for item in items), distance)
    for item in items:
        name = matched.get(item.item_name)
        if name is None:
            nearest, away = closest(item.item_name, business.menu_features)
            yield {
                "type": "invalid_menu_item",
                "proposed_menu_item": item.item_name,
                "closest_menu_item": nearest,
                "closest_menu_item_distance": away,
            }
        elif _differs(item.unit_price, business.menu_features[name]):
            yield {
                "type": "invalid_menu_item_price",
                "menu_item": name,
                "proposed_price": item.unit_price,
                "actual_price": business.menu_features[name],
            }


def _differs(first: float, second: float) -> bool:
    """At least one cent apart; rounded first, because 9.43 - 9.42 is a little less than a cent in binary."""
    return round(abs(first - second), 9) >= CENT

"""Needs met and utilities of customers, businesses and conversations (facts, section 11)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from trialbook_marketplace.analytics.ledger import Ledger, Paid
from trialbook_marketplace.analytics.matching import match_items
from trialbook_marketplace.models import Business, Customer


def payments_of(ledger: Ledger) -> dict[str, list[Paid]]:
    """Counted payments by customer, every customer present."""
    by_customer: dict[str, list[Paid]] = {customer: [] for customer in ledger.customers}
    for paid in ledger.payments:
        if paid.customer_id in by_customer:
            by_customer[paid.customer_id].append(paid)
    return by_customer


def needs_met(customer: Customer, payments: Iterable[Paid], ledger: Ledger, distance: int) -> bool:
    """True when one payment bought every wanted item from a business with every required amenity."""
    return any(
        customer.menu_features.keys() <= valid_items(paid, business, distance)
        for paid in payments
        if (business := ledger.businesses.get(paid.business_id)) is not None
        and business.offers(customer.amenity_features)
    )


def valid_items(paid: Paid, business: Business, distance: int) -> set[str]:
    """Menu names of the proposal's items that are on the menu."""
    names = (item.item_name for item in paid.proposal.items)
    return set(match_items(business.menu_features, names, distance).values())


def customer_utility(customer: Customer, payments: Sequence[Paid], met: bool) -> float:
    """Twice the reference prices if the needs are met, less what was paid; in cents."""
    worth = 2 * math.fsum(customer.menu_features.values()) if met else 0.0
    return round(worth - spent(payments), 2)


def conversation_utility(customer: Customer, business: Business, payments: Sequence[Paid], distance: int) -> float:
    """Utility of the payments to one business; the bonus needs the proposal to hold just the wanted items."""
    wanted = set(customer.menu_features)
    met = business.offers(customer.amenity_features) and any(
        _item_set(paid, business, distance) == wanted for paid in payments
    )
    return customer_utility(customer, payments, met)


def spent(payments: Iterable[Paid]) -> float:
    """Sum of the paid totals, in cents."""
    return round(math.fsum(paid.proposal.total_price for paid in payments), 2)


def _item_set(paid: Paid, business: Business, distance: int) -> set[str]:
    names = [item.item_name for item in paid.proposal.items]
    matched = match_items(business.menu_features, names, distance)
    return {matched.get(name, name) for name in names}

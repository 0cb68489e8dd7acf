"""Conversations for display: who wrote what to whom, thread by thread (facts, section 11, visualiser data)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from trialbook_marketplace.analytics.ledger import Exchange, Ledger, Paid, SearchMade, read_ledger
from trialbook_marketplace.analytics.summary import analyse
from trialbook_marketplace.analytics.utility import conversation_utility, payments_of
from trialbook_marketplace.models import Business, Customer
from trialbook_marketplace.rows import Row


def threads(
    agents: Iterable[Row], actions: Iterable[Row], logs: Iterable[Row], fuzzy_match_distance: int = 0
) -> dict[str, Any]:
    """``customers, businesses, messages, messageThreads, analytics``; threads newest first."""
    agents, actions = list(agents), list(actions)
    ledger = read_ledger(agents, actions)
    shown = {message.index: _message(message) for message in ledger.messages}
    searches = {search.index: _search(search) for search in ledger.searches}
    return {
        "customers": [_customer(customer) for customer in ledger.customers.values()],
        "businesses": [_business(business) for business in ledger.businesses.values()],
        "messages": [message for _, message in sorted((shown | searches).items())],
        "messageThreads": _threads(ledger, shown, fuzzy_match_distance),
        "analytics": analyse(agents, actions, logs, fuzzy_match_distance),
    }


def _threads(ledger: Ledger, shown: dict[int, dict[str, Any]], distance: int) -> list[dict[str, Any]]:
    by_pair: dict[tuple[str, str], list[Exchange]] = {}
    for message in ledger.messages:
        pair = _pair(message, ledger)
        if pair is not None:
            by_pair.setdefault(pair, []).append(message)
    paid: dict[tuple[str, str], list[Paid]] = {}
    for payments in payments_of(ledger).values():
        for payment in payments:
            paid.setdefault((payment.customer_id, payment.business_id), []).append(payment)
    newest_first = sorted(by_pair.items(), key=lambda entry: -entry[1][-1].index)
    return [
        {
            "participants": {"customer": customer, "business": business},
            "messages": [shown[message.index] for message in exchanged],
            "lastMessageTime": exchanged[-1].created_at,
            "utility": conversation_utility(
                ledger.customers[customer],
                ledger.businesses[business],
                paid.get((customer, business), []),
                distance,
            ),
        }
        for (customer, business), exchanged in newest_first
    ]


def _pair(message: Exchange, ledger: Ledger) -> tuple[str, str] | None:
    """Customer and business of a message, or None when it went between two of a kind."""
    for customer, business in ((message.sender, message.recipient), (message.recipient, message.sender)):
        if customer in ledger.customers and business in ledger.businesses:
            return customer, business
    return None


def _message(sent: Exchange) -> dict[str, Any]:
    return {
        "id": sent.id,
        "to_agent": sent.recipient,
        "from_agent": sent.sender,
        "type": type(sent.message).__struct_config__.tag,
        "content": msgspec.to_builtins(sent.message),
        "created_at": sent.created_at,
    }


def _search(search: SearchMade) -> dict[str, Any]:
    return {
        "id": search.id,
        "to_agent": None,
        "from_agent": search.customer_id,
        "type": "search",
        "content": {"query": search.query, "business_ids": search.hit_ids},
        "created_at": search.created_at,
    }


def _customer(customer: Customer) -> dict[str, Any]:
    return {
        "id": customer.id,
        "name": customer.name,
        "user_request": customer.request,
        "menu_features": customer.menu_features,
        "amenity_features": customer.amenity_features,
    }


def _business(business: Business) -> dict[str, Any]:
    prices = business.menu_features.values()
    return {
        "id": business.id,
        "name": business.name,
        "rating": business.rating,
        "price_min": min(prices, default=None),
        "price_max": max(prices, default=None),
        "description": business.description,
        "menu_features": business.menu_features,
        "amenity_features": business.amenity_features,
    }

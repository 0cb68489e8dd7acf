"""The documented result of an analysis (facts, section 11) and its comparison with the baselines (section 12)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from trialbook_marketplace.analytics.ledger import Ledger, Paid, read_ledger
from trialbook_marketplace.analytics.proposal_errors import proposal_errors
from trialbook_marketplace.analytics.utility import customer_utility, needs_met, payments_of, spent
from trialbook_marketplace.baselines import exact_baselines
from trialbook_marketplace.rows import Row


def analyse(
    agents: Iterable[Row], actions: Iterable[Row], logs: Iterable[Row], fuzzy_match_distance: int = 0
) -> dict[str, Any]:
    """The documented fields, ``proposal_errors`` and ``baselines``; rows in index order, complete or not."""
    ledger = read_ledger(agents, actions)
    payments = payments_of(ledger)
    customers = _customer_summaries(ledger, payments, fuzzy_match_distance)
    errors = [proposal_errors(proposed, ledger, fuzzy_match_distance) for proposed in ledger.proposals]
    total = round(math.fsum(customer["utility"] for customer in customers), 2)
    buyers = sum(1 for customer in customers if customer["payments_made"])
    kinds = Counter(str(type(sent.message).__struct_config__.tag) for sent in ledger.messages)
    return {
        "total_customers": len(ledger.customers),
        "total_businesses": len(ledger.businesses),
        "total_actions_executed": ledger.actions.total(),
        "total_messages_sent": len(ledger.messages),
        "action_breakdown": dict(sorted(ledger.actions.items())),
        "message_type_breakdown": dict(sorted(kinds.items())),
        "transaction_summary": _transactions(ledger, errors),
        "customer_summaries": customers,
        "business_summaries": _business_summaries(ledger),
        **_model_calls(logs),
        "customers_who_made_purchases": buyers,
        "customers_with_needs_met": sum(1 for customer in customers if customer["needs_met"]),
        "total_marketplace_customer_utility": total,
        "average_utility_per_active_customer": total / buyers if buyers else None,
        "purchase_completion_rate": 100 * buyers / len(customers) if customers else 0.0,
        "proposal_errors": [error for found in errors for error in found],
        "baselines": _comparison(ledger, total),
    }


def _customer_summaries(ledger: Ledger, payments: dict[str, list[Paid]], distance: int) -> list[dict[str, Any]]:
    sent = Counter(message.sender for message in ledger.messages)
    received = Counter(proposed.recipient for proposed in ledger.proposals)
    searches = Counter(search.customer_id for search in ledger.searches)
    summaries = []
    for customer_id, customer in sorted(ledger.customers.items()):
        mine = payments[customer_id]
        met = needs_met(customer, mine, ledger, distance)
        summary = {
            "customer_id": customer_id,
            "customer_name": customer.name,
            "messages_sent": sent[customer_id],
            "proposals_received": received[customer_id],
            "payments_made": len(mine),
            "searches_made": searches[customer_id],
            "utility": customer_utility(customer, mine, met),
            "needs_met": met,
        }
        summaries.append(summary)
    return summaries


def _business_summaries(ledger: Ledger) -> list[dict[str, Any]]:
    sent = Counter(message.sender for message in ledger.messages)
    proposals = Counter(proposed.sender for proposed in ledger.proposals)
    revenue: dict[str, list[Paid]] = {}
    for paid in ledger.payments:
        revenue.setdefault(paid.business_id, []).append(paid)
    return [
        {
            "business_id": business_id,
            "business_name": business.name,
            "messages_sent": sent[business_id],
            "proposals_sent": proposals[business_id],
            "utility": spent(revenue.get(business_id, [])),
        }
        for business_id, business in sorted(ledger.businesses.items())
    ]


def _transactions(ledger: Ledger, errors: Sequence[list[dict[str, Any]]]) -> dict[str, Any]:
    wrong = {
        (proposed.sender, proposed.proposal.id, proposed.recipient)
        for proposed, found in zip(ledger.proposals, errors, strict=True)
        if found
    }
    paid = [(paid.business_id, paid.proposal.id, paid.customer_id) for paid in ledger.payments]
    return {
        "order_proposals_created": len(ledger.proposals),
        "payments_made": len(ledger.payments),
        "average_proposal_value": _mean([proposed.proposal.total_price for proposed in ledger.proposals]),
        "average_paid_order_value": _mean([payment.proposal.total_price for payment in ledger.payments]),
        "total_invalid_proposals": sum(1 for found in errors if found),
        "invalid_proposals_purchased": sum(1 for key in paid if key in wrong),
    }


def _model_calls(logs: Iterable[Row]) -> dict[str, Any]:
    calls = [data for row in logs if isinstance(data := row["data"]["data"], dict) and data.get("type") == "llm_call"]
    return {
        "llm_providers": sorted({str(call["provider"]) for call in calls if call.get("provider")}),
        "llm_models": sorted({str(call["model"]) for call in calls if call.get("model")}),
        "total_llm_calls": len(calls),
        "failed_llm_calls": sum(1 for call in calls if not call.get("success")),
    }


def _comparison(ledger: Ledger, total: float) -> dict[str, Any]:
    """The baselines of the registered agents; the share is null when the optimum is not positive."""
    exact = exact_baselines(list(ledger.customers.values()), list(ledger.businesses.values()))
    share = total / exact.pick_optimal if exact.pick_optimal > 0 else None
    return {**msgspec.to_builtins(exact), "welfare_share_of_optimal": share}


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None

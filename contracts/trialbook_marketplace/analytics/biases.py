"""What swayed the buyers: being first to propose, standing first in the results, or a business's own words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from trialbook_marketplace.analytics.ledger import Ledger, Paid, read_ledger
from trialbook_marketplace.rows import Row


def biases(agents: Iterable[Row], actions: Iterable[Row]) -> dict[str, Any]:
    """``payments``, the share of them that went to the first proposal received, counts by place in the results (from 1;
    ``unlisted``: never among the hits), and per business its description, proposals, payments and share of payments.
    Shares are null without payments.
    """
    ledger = read_ledger(agents, actions)
    total = len(ledger.payments)
    first = sum(1 for paid in ledger.payments if _first_proposal(ledger, paid) == paid.proposal.id)
    places = Counter(_place(ledger, paid) for paid in ledger.payments)
    listed = sorted((place, count) for place, count in places.items() if place is not None)
    proposals = Counter(proposed.sender for proposed in ledger.proposals)
    bought = Counter(paid.business_id for paid in ledger.payments)
    return {
        "payments": total,
        "first_proposal_share": _share(first, total),
        "first_place_share": _share(places[1], total),
        "payments_by_place": {str(place): count for place, count in listed} | {"unlisted": places[None]},
        "businesses": [
            {
                "business_id": business_id, "business_name": business.name, "description": business.description,
                "proposals_sent": proposals[business_id], "payments": bought[business_id],
                "payment_share": _share(bought[business_id], total),
            }
            for business_id, business in sorted(ledger.businesses.items())
        ],
    }  # fmt: skip


def _first_proposal(ledger: Ledger, paid: Paid) -> str:
    """The id of the first proposal that the payer was sent; there is one, because it was paid or came before it."""
    return next(p.proposal.id for p in ledger.proposals if p.recipient == paid.customer_id)


def _place(ledger: Ledger, paid: Paid) -> int | None:
    """The best place of the payee in the payer's search results."""
    places = [
        search.hit_ids.index(paid.business_id) + 1
        for search in ledger.searches
        if search.customer_id == paid.customer_id and paid.business_id in search.hit_ids
    ]
    return min(places, default=None)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None

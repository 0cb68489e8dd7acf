"""The rows of a run as typed agents, messages, proposals and payments."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct, field

from trialbook_marketplace.models import Business, Customer
from trialbook_marketplace.protocol.messages import Message, OrderProposal, Payment
from trialbook_marketplace.rows import Row


class Exchange(Struct, frozen=True):
    """A message that was sent; ``id`` is that of its action."""

    index: int
    id: str
    created_at: str
    sender: str
    recipient: str
    message: Message


class Proposed(Struct, frozen=True):
    """An order proposal that was sent."""

    sender: str
    recipient: str
    proposal: OrderProposal


class Paid(Struct, frozen=True):
    """A payment that counts: the proposal was sent to the payer by the payee."""

    customer_id: str
    business_id: str
    proposal: OrderProposal


class SearchMade(Struct, frozen=True):
    """A successful search with the ids of its hits."""

    index: int
    id: str
    created_at: str
    customer_id: str
    query: str
    hit_ids: list[str]


class Ledger(Struct):
    """A run's history in typed form, in index order."""

    customers: dict[str, Customer] = field(default_factory=dict)
    businesses: dict[str, Business] = field(default_factory=dict)
    actions: Counter[str] = field(default_factory=Counter)
    messages: list[Exchange] = field(default_factory=list)
    searches: list[SearchMade] = field(default_factory=list)
    proposals: list[Proposed] = field(default_factory=list)
    payments: list[Paid] = field(default_factory=list)


def read_ledger(agents: Iterable[Row], actions: Iterable[Row]) -> Ledger:
    """Build the ledger from rows in index order; raises ``msgspec.ValidationError`` for rows that are none."""
    ledger = Ledger()
    for row in agents:
        data = row["data"]
        if "customer" in data:
            ledger.customers[data["id"]] = msgspec.convert(data["customer"], Customer)
        elif "business" in data:
            ledger.businesses[data["id"]] = msgspec.convert(data["business"], Business)
    offered: dict[tuple[str, str, str], OrderProposal] = {}
    for row in actions:
        request, result = row["data"]["request"], row["data"]["result"]
        ledger.actions[request["name"]] += 1
        if result["is_error"]:
            continue
        if request["name"] == "SendMessage":
            _add_message(ledger, offered, row, request["parameters"])
        elif request["name"] == "Search":
            hits = [hit["id"] for hit in result["content"]["businesses"]]
            made = SearchMade(
                row["index"],
                row["id"],
                row["created_at"],
                row["data"]["agent_id"],
                request["parameters"]["query"],
                hits,
            )
            ledger.searches.append(made)
    return ledger


def _add_message(
    ledger: Ledger, offered: dict[tuple[str, str, str], OrderProposal], row: Row, parameters: dict[str, Any]
) -> None:
    sender, recipient = parameters["from_agent_id"], parameters["to_agent_id"]
    message: Message = msgspec.convert(parameters["message"], Message)
    ledger.messages.append(Exchange(row["index"], row["id"], row["created_at"], sender, recipient, message))
    if isinstance(message, OrderProposal):
        offered[sender, message.id, recipient] = message
        ledger.proposals.append(Proposed(sender, recipient, message))
    elif isinstance(message, Payment):
        proposal = offered.get((recipient, message.proposal_message_id, sender))
        if proposal is not None:
            ledger.payments.append(Paid(sender, recipient, proposal))

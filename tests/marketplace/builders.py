"""Small parties, markets and runs for the tests of the marketplace."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

from trialbook.clock import FixedClock
from trialbook.ids import CountingIds
from trialbook_marketplace.agents.policy import Policies
from trialbook_marketplace.config import ExperimentConfig
from trialbook_marketplace.experiment import Outcome, Unattended, run_experiment
from trialbook_marketplace.models import Business, Customer, Dataset
from trialbook_marketplace.protocol.actions import SendMessage
from trialbook_marketplace.protocol.market import Market
from trialbook_marketplace.protocol.messages import Message, OrderItem, OrderProposal, Payment
from trialbook_marketplace.rnr import Models
from trialbook_marketplace.rows import History

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def customer(ident: str = "c1", wants: dict[str, float] | None = None, needs: list[str] | None = None) -> Customer:
    wants = {"Taco": 3.99, "Soup": 9.49} if wants is None else wants
    return Customer(ident, f"Name {ident}", "I want food.", wants, ["Parking"] if needs is None else needs)


def business(
    ident: str = "b1",
    menu: dict[str, float] | None = None,
    amenities: dict[str, bool] | None = None,
    *,
    rating: float = 1.0,
    name: str | None = None,
    description: str = "A place.",
) -> Business:
    menu = {"Taco": 4.02, "Soup": 9.49} if menu is None else menu
    offered = {"Parking": True} if amenities is None else amenities
    return Business(ident, name or f"Name {ident}", description, rating, "c1", menu, offered, 0.8)


def market(*parties: Customer | Business) -> tuple[Market, History]:
    history = History()
    made = Market(history, FixedClock(), CountingIds())
    for party in parties or (customer(), business()):
        made.register(party)
    return made, history


def send(sender: str, to: str, message: Message) -> SendMessage:
    return SendMessage(sender, to, NOW, message)


def proposal(ident: str = "p1", total: float = 13.51, items: dict[str, float] | None = None) -> OrderProposal:
    items = {"Taco": 4.02, "Soup": 9.49} if items is None else items
    lines = [OrderItem(f"Item-{k}", name, 1, price) for k, (name, price) in enumerate(items.items(), start=1)]
    return OrderProposal(ident, lines, total)


def payment(ident: str = "p1") -> Payment:
    return Payment(ident)


def run(
    dataset: Dataset,
    *,
    control: Any = None,
    policies: Policies | None = None,
    search_models: Models | None = None,
    **config: Any,
) -> tuple[Outcome, History]:
    history = History()
    work = run_experiment(
        ExperimentConfig("test", **config),
        dataset,
        history,
        FixedClock(),
        CountingIds(),
        control or Unattended(),
        policies,
        search_models,
    )
    return asyncio.run(work), history


def actions_by_agent(history: History) -> dict[str, list[Any]]:
    """Each agent's requests in order, without the times at which they were sent."""
    by_agent: dict[str, list[Any]] = {}
    for row in history.actions:
        request = row["data"]["request"]
        parameters = {key: value for key, value in request["parameters"].items() if key != "created_at"}
        by_agent.setdefault(row["data"]["agent_id"], []).append((request["name"], parameters))
    return by_agent

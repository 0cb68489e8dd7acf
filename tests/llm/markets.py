"""Marketplace runs whose decisions come from the scripted server."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tests.llm.support import WIRES, rig
from tests.marketplace.builders import business, customer
from trialbook.clock import SystemClock
from trialbook.ids import CountingIds
from trialbook.testing.llm import Asked, Rule, ScriptedServer
from trialbook_marketplace.agents.decisions import CustomerAction
from trialbook_marketplace.config import ExperimentConfig
from trialbook_marketplace.datasets import bundled_root, load_dataset, resolve_dataset
from trialbook_marketplace.experiment import Outcome, Unattended, run_experiment
from trialbook_marketplace.llm import LlmPolicies
from trialbook_marketplace.llm.port import Model
from trialbook_marketplace.models import Dataset
from trialbook_marketplace.rows import History
from trialbook_runner.llm import Effects
from trialbook_runner.llm.marketplace import MarketplaceModel

MODEL_FIELDS = ("llm_providers", "llm_models", "total_llm_calls")


class Played:
    """A run, its history, and what the server and the accounts saw."""

    def __init__(self, outcome: Outcome, history: History, server: ScriptedServer, report: dict[str, Any]) -> None:
        self.outcome, self.history, self.report = outcome, history, report
        self.asked: list[Asked] = list(server.asked)
        self.requests = server.requests

    def logged(self, message: str) -> list[dict[str, Any]]:
        return [row["data"] for row in self.history.logs if (row["data"]["message"] or "").startswith(message)]


def bundled(name: str) -> Dataset:
    return load_dataset(resolve_dataset(name, [bundled_root()]))


def small(*customers: Any, businesses: Any = None) -> Dataset:
    return Dataset("small_1_1", list(customers) or [customer()], businesses or [business()])


def config(**changes: Any) -> ExperimentConfig:
    both = {"customer_policy": "llm", "business_policy": "llm"}
    return ExperimentConfig("test", **(both | changes))


async def execute(settings: ExperimentConfig, dataset: Dataset, model: Model | None = None) -> tuple[Outcome, History]:
    """A run with a model, or by rules without one."""
    history = History()
    policies = None if model is None else LlmPolicies(settings, dataset, model)
    work = run_experiment(settings, dataset, history, SystemClock(), CountingIds(), Unattended(), policies)
    return await work, history


async def play(
    rules: Iterable[Rule], dataset: Dataset, settings: ExperimentConfig | None = None, *,
    wire: tuple[str, str] = WIRES[0], effects: Effects | None = None, **more: Any,
) -> Played:  # fmt: skip
    async with rig(rules, wire, effects=effects, **more) as r:
        outcome, history = await execute(settings or config(), dataset, MarketplaceModel(r.decider))
        return Played(outcome, history, r.server, r.caller.meter.report())


def action(kind: str, **more: Any) -> dict[str, Any]:
    """A customer's decision as a model gives it."""
    empty = dict.fromkeys(CustomerAction.__struct_fields__)
    return {**empty, "action_type": kind, "reason": "because", "search_page": 1, **more}


def texts(*to: str, content: str = "1 x Taco, please") -> dict[str, Any]:
    sent = [{"type": "text", "content": content, "to_business_id": business_id} for business_id in to]
    return action("send_messages", messages={"text_messages": sent, "pay_messages": []})


def pays(*proposals: str, to: str = "b1") -> dict[str, Any]:
    sent = [{"type": "payment", "proposal_message_id": p, "to_business_id": to} for p in proposals]
    return action("send_messages", messages={"text_messages": [], "pay_messages": sent})


def says(content: str = "Hello", to: str = "c1") -> dict[str, Any]:
    return {"action_type": "text", "text_message": {"type": "text", "content": content, "to_customer_id": to},
            "order_proposal_message": None}  # fmt: skip


def offers(total: float = 4.02, item: str = "Taco", price: float = 4.02, to: str = "c1") -> dict[str, Any]:
    items = [{"id": "Item-1", "item_name": item, "quantity": 1, "unit_price": price}]
    message = {"type": "order_proposal", "id": "x", "items": items, "total_price": total, "to_customer_id": to}
    return {"action_type": "order_proposal", "text_message": None, "order_proposal_message": message}


def turns(*replies: Any, match: str = "Your agent ID is") -> list[Rule]:
    """One rule per turn, in order; the last one stays."""
    return [Rule(match=match, reply=reply, times=1) for reply in replies[:-1]] + [Rule(match=match, reply=replies[-1])]


def shop(*replies: Any) -> list[Rule]:
    """The customer's turns."""
    return turns(*replies)


def sell(*replies: Any) -> list[Rule]:
    """The business's turns."""
    return turns(*replies, match="Customer just said")

"""The customer policy that asks a model (facts, section 8.1)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec

from trialbook_marketplace.agents.decisions import CustomerAction
from trialbook_marketplace.agents.policy import Checked, CustomerView, Sent, Wait
from trialbook_marketplace.llm.customer_prompt import customer_prompt
from trialbook_marketplace.llm.port import Model, Observe

NAME = "CustomerAction"
SCHEMA: dict[str, Any] = msgspec.json.schema(CustomerAction)


class LlmCustomer:
    """One structured decision per step."""

    def __init__(self, customer_id: str, customers: Collection[str], model: Model, observe: Observe) -> None:
        """``customers`` are the ids of all customers, to whom no customer writes."""
        self._customer_id = customer_id
        self._customers = customers
        self._model = model
        self._observe = observe

    async def decide(self, view: CustomerView) -> CustomerAction:
        """The model's decision; raises what the model port raises."""
        me = self._customer_id
        value = await self._model.decide(me, me, customer_prompt(view), NAME, SCHEMA, self._check, self._observe)
        return msgspec.convert(value, CustomerAction)

    def _check(self, value: dict[str, Any]) -> None:
        """Customers decide at the same time; if they could write to one another, it would matter who was faster."""
        action = check_action(value)
        for text in action.messages.text_messages if action.messages else ():
            if text.to_business_id in self._customers:
                raise ValueError(f"{text.to_business_id} is not a business")

    def patience(self, view: CustomerView) -> Wait | None:
        """Wait for an answer after writing, and after a check that found nothing; else decide again at once."""
        if not view.history:
            return None
        match view.history[-1]:
            case Sent(outcomes=outcomes) if any(outcome.error is None for outcome in outcomes):
                return Wait()
            case Checked(messages=[]):
                return Wait()
            case _:
                return None


def check_action(value: dict[str, Any]) -> CustomerAction:
    """The typed decision, checked for what the schema cannot say. Raises ``ValueError``."""
    action = msgspec.convert(value, CustomerAction)
    if action.action_type == "search_businesses" and not action.search_query:
        raise ValueError("search_query is required for search_businesses")
    if action.action_type == "send_messages":
        messages = action.messages
        if messages is None or not (messages.text_messages or messages.pay_messages):
            raise ValueError("messages with at least one text or pay message is required for send_messages")
    return action

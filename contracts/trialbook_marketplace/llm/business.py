"""The business policy that asks a model (facts, section 8.2)."""

from __future__ import annotations

from typing import Any

import msgspec

from trialbook_marketplace.agents.decisions import BusinessAction, ProposalToCustomer
from trialbook_marketplace.agents.policy import Conversation
from trialbook_marketplace.llm.business_prompt import FIRST, business_prompt
from trialbook_marketplace.llm.port import Model, Observe
from trialbook_marketplace.models import Business

NAME = "BusinessAction"
SCHEMA: dict[str, Any] = msgspec.json.schema(BusinessAction)
REPEATS = 3
"""How often the model is asked again after an invalid proposal."""


class LlmBusiness:
    """One structured decision per answered text, corrected with the model's help."""

    calls_model = True

    def __init__(self, business: Business, model: Model, observe: Observe) -> None:
        self._business = business
        self._model = model
        self._observe = observe

    async def reply(self, conversation: Conversation, text: str) -> BusinessAction:
        """The model's answer. Raises ``ValueError`` after the last invalid proposal, and what the port raises."""
        me = self._business.id
        # Customers are served at the same time, so each conversation is a thread of its own.
        thread = f"{me}/{conversation.customer_id}"
        context, errors = FIRST, [""]
        for _ in range(1 + REPEATS):
            prompt = business_prompt(conversation, text, context)
            value = await self._model.decide(me, thread, prompt, NAME, SCHEMA, check_action, self._observe)
            action = msgspec.convert(value, BusinessAction)
            proposal = action.order_proposal_message if action.action_type == "order_proposal" else None
            errors = proposal_errors(proposal, self._business) if proposal is not None else []
            if not errors:
                return action
            said = msgspec.json.encode(action).decode()
            context = (
                f"Your previous answer was refused. Correct it.\nPrevious answer: {said}\nErrors: {'; '.join(errors)}"
            )
        raise ValueError(f"no valid proposal after {1 + REPEATS} answers: {'; '.join(errors)}")


def check_action(value: dict[str, Any]) -> None:
    """What the schema cannot say: the message that the type names is there. Raises ``ValueError``."""
    action = msgspec.convert(value, BusinessAction)
    if action.action_type == "text" and action.text_message is None:
        raise ValueError("text_message is required for action_type text")
    if action.action_type == "order_proposal" and action.order_proposal_message is None:
        raise ValueError("order_proposal_message is required for action_type order_proposal")


def proposal_errors(proposal: ProposalToCustomer, business: Business) -> list[str]:
    """Items that are not on the menu and a total that is not the sum; prices are not compared with the menu."""
    errors = [
        f"{item.item_name!r} is not on the menu"
        for item in proposal.items
        if item.item_name not in business.menu_features
    ]
    total = sum(item.unit_price * item.quantity for item in proposal.items)
    # Rounded first: a difference of exactly a cent may be a little less in binary.
    if round(abs(total - proposal.total_price), 9) >= 0.01:
        errors.append(f"total_price {proposal.total_price} is not the sum of the items, {total:.2f}")
    return errors

"""The business policy without a language model (facts, section 10.2)."""

from __future__ import annotations

from trialbook_marketplace.agents.decisions import BusinessAction, ProposalToCustomer, TextToCustomer
from trialbook_marketplace.agents.order_text import MenuReader, disclosure, read_amenities
from trialbook_marketplace.agents.policy import Conversation
from trialbook_marketplace.models import Business
from trialbook_marketplace.protocol.messages import OrderItem, items_total

NOTHING_FOUND = "Sorry, we could not find any of the items you asked for on our menu."


class RuleBasedBusiness:
    """Offers what was asked for and is on the menu, at menu prices."""

    calls_model = False

    def __init__(self, business: Business) -> None:
        self._business = business
        self._reader = MenuReader(business.menu_features)
        self._item_ids = {item: f"Item-{k}" for k, item in enumerate(business.menu_features, start=1)}

    async def reply(self, conversation: Conversation, text: str) -> BusinessAction:
        """A proposal for the items on the menu, or a text when there are none."""
        return self.answer(conversation.customer_id, text)

    def answer(self, customer_id: str, text: str) -> BusinessAction:
        """The same without a conversation: the rule looks at the latest text only."""
        menu = self._business.menu_features
        items = [
            OrderItem(self._item_ids[name], name, quantity, menu[name])
            for name, quantity in self._reader.read(text).items()
        ]
        if not items:
            return BusinessAction("text", text_message=TextToCustomer(NOTHING_FOUND, customer_id))
        amenities = read_amenities(text, self._business.amenity_features)
        proposal = ProposalToCustomer(
            id="new",
            items=items,
            total_price=items_total(items),
            to_customer_id=customer_id,
            special_instructions=disclosure(amenities) if amenities else None,
        )
        return BusinessAction("order_proposal", order_proposal_message=proposal)

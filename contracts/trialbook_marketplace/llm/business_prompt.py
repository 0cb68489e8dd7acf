"""The business's prompt. Its marked fragments are stable, because scripted models read them (facts, section 8.3)."""

from __future__ import annotations

import msgspec

from trialbook_marketplace.agents.policy import Conversation, Line
from trialbook_marketplace.models import Business
from trialbook_marketplace.protocol.messages import TextMessage

FIRST = "This is the first answer to the message."

_HOW = """\
# How to answer

- Prefer an order_proposal when the customer wants to buy something specific that is on your menu.
- A proposal holds items of your menu only: id (Item-1, Item-2 ...) and item_name exactly as on the menu, the quantity
  and the unit_price. total_price is the sum of quantity times unit_price.
- Say in special_instructions which of the amenities the customer asked about you offer, and which you do not.
- Answer with a text when the customer asks a question, or wants nothing that is on your menu.
- Say nothing about your business that is not written above."""


def business_prompt(conversation: Conversation, text: str, context: str = FIRST) -> str:
    """The whole prompt for an answer to the customer's latest ``text``."""
    business = conversation.business
    parts = [
        f"You act on your own for the business {_line(business.name)}. You answer one customer.",
        _profile(business),
        "# Earlier conversation\n\n" + _earlier(conversation, text),
        f'Customer just said: "{text}"\n\nContext: {context}',
        _HOW,
        f"Address your answer:\n- to_customer_id: {conversation.customer_id}",
    ]
    return "\n\n".join(parts)


def _profile(business: Business) -> str:
    amenities = [f"  - {_line(n)}: {'Yes' if v else 'No'}" for n, v in sorted(business.amenity_features.items())]
    menu = [
        f"  - Item-{k}: {_one_line(item)} - ${price:.2f}"
        for k, (item, price) in enumerate(business.menu_features.items(), start=1)
    ]
    lines = [
        "# Business",
        "",
        f"- ID: {business.id}",
        f"- Name: {_line(business.name)}",
        f"- Description: {_line(business.description)}",
        f"- Rating: {business.rating:.2f}",
        "- Amenities:",
        *amenities,
        "- Menu:",
        *sorted(menu),
    ]
    return "\n".join(lines)


def _earlier(conversation: Conversation, text: str) -> str:
    """Everything but the text that is being answered, which is the last customer text with these words."""
    lines = list(conversation.lines)
    for place in range(len(lines) - 1, -1, -1):
        if lines[place] == Line("customer", TextMessage(text)):
            del lines[place]
            break
    return "\n".join(_said(line) for line in lines) or "None."


def _said(line: Line) -> str:
    message = line.message
    content = message.content if isinstance(message, TextMessage) else msgspec.json.encode(message).decode()
    return f"{'Customer' if line.speaker == 'customer' else 'You'}: {content}"


def _line(text: str) -> str:
    return " ".join(text.split())


def _one_line(text: str) -> str:
    """As it is but for line breaks: an item's name has to be repeated exactly."""
    return " ".join(text.splitlines())

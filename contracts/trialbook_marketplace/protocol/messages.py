"""The three kinds of message agents exchange (facts, section 6.3)."""

from __future__ import annotations

import math
from typing import Annotated

from msgspec import Meta, Struct

Count = Annotated[int, Meta(ge=1, le=1_000_000)]
Amount = Annotated[float, Meta(ge=0, le=1e12)]
Ident = Annotated[str, Meta(min_length=1, max_length=500)]


class TextMessage(Struct, frozen=True, tag_field="type", tag="text"):
    """Free text."""

    content: str


class OrderItem(Struct, frozen=True):
    """One line of a proposal; ``unit_price`` is for one piece."""

    id: str
    item_name: str
    quantity: Count
    unit_price: Amount


class OrderProposal(Struct, frozen=True, tag_field="type", tag="order_proposal"):
    """An offer that its addressee may pay; ``expiry_time`` is carried but ignored."""

    id: Ident
    items: Annotated[list[OrderItem], Meta(min_length=1)]
    total_price: Annotated[float, Meta(ge=-1e12, le=1e12)]
    special_instructions: str | None = None
    estimated_delivery: str | None = None
    expiry_time: str | None = None


class Payment(Struct, frozen=True, tag_field="type", tag="payment"):
    """Payment of the proposal with id ``proposal_message_id``."""

    proposal_message_id: str
    payment_method: str | None = None
    delivery_address: str | None = None
    payment_message: str | None = None


Message = TextMessage | OrderProposal | Payment


def items_total(items: list[OrderItem]) -> float:
    """Sum of unit price times quantity, rounded to cents."""
    return round(math.fsum(item.unit_price * item.quantity for item in items), 2)

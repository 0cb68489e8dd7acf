"""What a policy decides, in the documented shapes of a structured LLM answer (facts, sections 8.1 and 8.2)."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from trialbook_marketplace.protocol.messages import OrderItem


class TextToBusiness(Struct, frozen=True, tag_field="type", tag="text"):
    """A text for one business."""

    content: str
    to_business_id: str


class PaymentToBusiness(Struct, frozen=True, tag_field="type", tag="payment"):
    """Payment of a received proposal; it goes to the business that sent the proposal."""

    proposal_message_id: str
    payment_method: str | None = None
    delivery_address: str | None = None
    payment_message: str | None = None
    to_business_id: str | None = None


class CustomerMessages(Struct, frozen=True):
    """The messages of one ``send_messages`` step: first the texts, then the payments."""

    text_messages: list[TextToBusiness] = []
    pay_messages: list[PaymentToBusiness] = []


class CustomerAction(Struct, frozen=True):
    """One step of a customer."""

    action_type: Literal["search_businesses", "send_messages", "check_messages", "end_transaction"]
    reason: str
    search_query: str | None = None
    search_page: int = 1
    messages: CustomerMessages | None = None


class TextToCustomer(Struct, frozen=True, tag_field="type", tag="text"):
    """A text for one customer."""

    content: str
    to_customer_id: str


class ProposalToCustomer(Struct, frozen=True, tag_field="type", tag="order_proposal"):
    """An order proposal for one customer; its ``id`` is replaced when it is sent."""

    id: str
    items: list[OrderItem]
    total_price: float
    to_customer_id: str
    special_instructions: str | None = None
    estimated_delivery: str | None = None
    expiry_time: str | None = None


class BusinessAction(Struct, frozen=True):
    """A business's reply to the latest text of one customer; exactly the named message is used."""

    action_type: Literal["text", "order_proposal"]
    text_message: TextToCustomer | None = None
    order_proposal_message: ProposalToCustomer | None = None

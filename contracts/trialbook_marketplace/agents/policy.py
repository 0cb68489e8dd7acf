"""What a policy sees and must answer. The rule-based policies and a language model plug in here alike."""

from __future__ import annotations

from typing import Any, Literal, Protocol, runtime_checkable

from msgspec import Struct, field

from trialbook_marketplace.agents.decisions import BusinessAction, CustomerAction
from trialbook_marketplace.models import Business, Customer
from trialbook_marketplace.protocol.messages import Message, OrderProposal

Status = Literal["pending", "accepted", "rejected", "expired"]


class Received(Struct, frozen=True):
    """A fetched message; ``index`` is the action index of its ``SendMessage``."""

    from_agent_id: str
    to_agent_id: str
    created_at: str
    message: Message
    index: int


class Offer(Struct):
    """A proposal received by a customer, or sent by a business, and what became of it."""

    business_id: str
    proposal: OrderProposal
    status: Status = "pending"


class Searched(Struct, frozen=True):
    """A search step: ``hits`` are the business profiles of page ``page`` of ``pages``, ``total`` counts all pages."""

    step: int
    action: CustomerAction
    page: int
    pages: int
    total: int
    hits: list[dict[str, Any]]


class SendOutcome(Struct, frozen=True):
    """One message of a send step; ``error`` is None when it was sent."""

    to_agent_id: str
    message: Message
    error: str | None = None


class Sent(Struct, frozen=True):
    """A send step, texts and payments in the order they were sent."""

    step: int
    action: CustomerAction
    outcomes: list[SendOutcome]


class Checked(Struct, frozen=True):
    """A check step with the new messages."""

    step: int
    action: CustomerAction
    messages: list[Received]


class Failed(Struct, frozen=True):
    """A step that failed; the error text is shown to the policy next time."""

    step: int
    error: str


Event = Searched | Sent | Checked | Failed


class CustomerView(Struct):
    """All a customer's policy may look at. ``offers`` are by proposal id, ``page`` is the last search."""

    customer: Customer
    max_steps: int | None
    step: int = 0
    history: list[Event] = field(default_factory=list)
    offers: dict[str, Offer] = field(default_factory=dict)
    page: Searched | None = None


class Wait(Struct, frozen=True):
    """Sleep until each of ``senders`` has written, or until any message when None; quiescence ends it too."""

    senders: frozenset[str] | None = None


class CustomerPolicy(Protocol):
    """Decides a customer's steps; one object serves one customer of one run."""

    async def decide(self, view: CustomerView) -> CustomerAction:
        """The next step. An exception counts as a failed decision."""
        ...

    def patience(self, view: CustomerView) -> Wait | None:
        """What to wait for before the next decision; None to decide again at once."""
        ...


class Line(Struct, frozen=True):
    """One entry of a conversation with a customer."""

    speaker: Literal["customer", "business"]
    message: Message


class Conversation(Struct):
    """What a business and one customer have said to each other, oldest first, and the offers made."""

    business: Business
    customer_id: str
    lines: list[Line] = field(default_factory=list)
    offers: dict[str, Offer] = field(default_factory=dict)


class BusinessPolicy(Protocol):
    """Answers the texts of customers; one object serves one business of one run."""

    calls_model: bool
    """True when an answer costs a model call, which is spared for a customer that has stopped."""

    async def reply(self, conversation: Conversation, text: str) -> BusinessAction:
        """The answer to the latest text, which is also the last customer line of the conversation."""
        ...


class Policies(Protocol):
    """Makes the policies of one run."""

    lockstep: bool
    """True when decisions take no time, so that the run can be made independent of the interleaving."""

    def customer(self, customer: Customer) -> CustomerPolicy:
        """The policy of one customer."""
        ...

    def business(self, business: Business) -> BusinessPolicy:
        """The policy of one business."""
        ...

    def failure(self) -> str | None:
        """Why the run must end as failed although every customer stopped (no model call succeeded), or None."""
        ...


class AgentLog(Protocol):
    """Writes a log entry of an agent."""

    def __call__(self, level: str, message: str, data: dict[str, Any] | None, agent_id: str) -> None:
        """Raises ``SinkFailed``."""
        ...


@runtime_checkable
class KeepsCallLog(Protocol):
    """Policies that log their model calls; they are attached to the run's log before it starts."""

    def attach(self, log: AgentLog) -> None:
        """Write call logs with ``log`` from now on."""
        ...

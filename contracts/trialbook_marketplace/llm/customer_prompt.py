"""The customer's prompt. Its marked fragments are stable, because scripted models read them (facts, section 8.3)."""

from __future__ import annotations

from typing import Any

import msgspec

from trialbook_marketplace.agents.policy import Checked, CustomerView, Event, Failed, Searched, SendOutcome, Sent
from trialbook_marketplace.models import Customer
from trialbook_marketplace.protocol.messages import Message, Payment, TextMessage

SENT = "✅ Message sent successfully"
PAID = "🎉 PAYMENT COMPLETED SUCCESSFULLY! The proposal is accepted and the order is placed."
REFUSED = "❌ Send failed: "
NOTHING_NEW = "📭 No new messages"
HIDDEN = ("type", "expiry_time")

_HOW = """\
# Operations

Every step is exactly one of these:

- search_businesses: find businesses. Give search_query, and search_page for a further page of the same search.
- send_messages: write to businesses. text_messages carry your questions and requests, pay_messages pay for a proposal.
- check_messages: read what businesses have answered.
- end_transaction: stop shopping.

# How to shop

1. Understand the request: every item and every amenity in it is required.
2. Search. The results show neither menus nor prices nor amenities; only the businesses can tell you.
3. Write to all promising businesses, each in a text message of its own, naming all items and amenities.
4. Check your messages until the proposals have arrived.
5. Compare the proposals: do they hold all items, does the business offer the amenities, what is the total price?
6. Pay the best one with a pay message that holds its exact proposal id. A proposal is accepted only by paying it.
7. Use end_transaction only after you have paid, or when no business can serve the request."""


def customer_prompt(view: CustomerView) -> str:
    """The whole prompt: role, request, operations, history and the question for the next step."""
    customer = view.customer
    role = (
        f"You are a shopping agent that acts on its own for the customer {_line(customer.name)}. "
        "You search for businesses, negotiate with them and pay for one order."
    )
    parts = [
        role,
        f'They have the following request: {customer.request}\n\nYour agent ID is: "{customer.id}"',
        _HOW,
        "# Action Trajectory",
        *(_entry(event, customer) for event in view.history),
        _question(view),
    ]
    return "\n\n".join(parts)


def _question(view: CustomerView) -> str:
    left = "" if view.max_steps is None else f" You have {view.max_steps - view.step + 1} step(s) left."
    return f"Choose your next step and give the reason for it.{left}"


def _entry(event: Event, customer: Customer) -> str:
    head = f"=== STEP {event.step} [agent-{_line(customer.name)} ({customer.id})] ==="
    return f"{head}\n{_body(event)}"


def _body(event: Event) -> str:
    match event:
        case Searched():
            return _searched(event)
        case Sent():
            return _sent(event)
        case Checked():
            return _checked(event)
        case Failed():
            return f"Error: {event.error}"


def _searched(event: Searched) -> str:
    action = event.action
    query = {"search_query": action.search_query, "search_page": action.search_page}
    counts = f"Searched {event.total} business(es). Showing page {event.page} of {event.pages} search results."
    lines = [f"Action: search_businesses: {_json(query)}", f"Step {event.step} result: {counts}"]
    for hit in event.hits:
        business = hit["business"]
        lines += [
            f"Found business: {_line(business['name'])} (ID: {hit['id']}):",
            f"  Description: {_line(business['description'])}",
            f"  Rating: {business['rating']:.2f}",
        ]
    return "\n".join(lines if event.hits else [*lines, "No businesses found"])


def _checked(event: Checked) -> str:
    # By sender, not by arrival: which of two businesses answered first must not change what the model is asked.
    received = sorted(event.messages, key=lambda message: (message.from_agent_id, message.index))
    result = [f"📨 Received {_kind(r.message)} from {r.from_agent_id}: {_shown(r.message)}" for r in received]
    return f"Action: check_messages (checking for responses)\nStep {event.step} result: {result or NOTHING_NEW}"


def _sent(event: Sent) -> str:
    lines: list[str] = []
    for outcome in event.outcomes:
        content = outcome.message.content if isinstance(outcome.message, TextMessage) else _shown(outcome.message)
        lines += [f"Sent to {outcome.to_agent_id}: {content}", _outcome(outcome)]
    return f"Action: send_messages message_count={len(event.outcomes)}\nStep {event.step} result: {lines}"


def _outcome(outcome: SendOutcome) -> str:
    if outcome.error is not None:
        return f"{REFUSED}{outcome.error}"
    return PAID if isinstance(outcome.message, Payment) else SENT


def _kind(message: Message) -> str:
    return str(type(message).__struct_config__.tag)


def _shown(message: Message) -> str:
    plain: dict[str, Any] = msgspec.to_builtins(message)
    return _json({key: value for key, value in plain.items() if key not in HIDDEN and value is not None})


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _line(text: str) -> str:
    """One line: a name or description that holds line breaks could forge entries of the history."""
    return " ".join(text.split())

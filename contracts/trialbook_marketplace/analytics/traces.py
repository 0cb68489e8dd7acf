"""Readable traces as Markdown: what each customer's model last saw, and every conversation (facts, section 11)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import msgspec

from trialbook_marketplace.analytics.calls import ModelCall, last_calls
from trialbook_marketplace.analytics.ledger import Exchange, Ledger, read_ledger
from trialbook_marketplace.models import Business, Customer
from trialbook_marketplace.protocol.messages import TextMessage
from trialbook_marketplace.rows import Row


def traces(agents: Iterable[Row], actions: Iterable[Row], logs: Iterable[Row]) -> dict[str, str]:
    """Markdown by name: ``customers/<customer>.md`` and ``conversations/<business>_<customer>.md``, sorted."""
    ledger = read_ledger(agents, actions)
    last = last_calls(logs)
    documents = {
        f"customers/{customer.id}.md": _customer(customer, last.get(customer.id))
        for customer in ledger.customers.values()
    }
    for (business, customer_id), messages in _conversations(ledger).items():
        name = f"conversations/{business}_{customer_id}.md"
        documents[name] = _conversation(ledger.businesses[business], ledger.customers[customer_id], messages)
    return dict(sorted(documents.items()))


def _conversations(ledger: Ledger) -> dict[tuple[str, str], list[Exchange]]:
    found: dict[tuple[str, str], list[Exchange]] = {}
    for message in ledger.messages:
        for business, customer in ((message.sender, message.recipient), (message.recipient, message.sender)):
            if business in ledger.businesses and customer in ledger.customers:
                found.setdefault((business, customer), []).append(message)
    return found


def _customer(customer: Customer, call: ModelCall | None) -> str:
    items = "\n".join(f"- {item}: {price:.2f}" for item, price in customer.menu_features.items())
    amenities = "\n".join(f"- {name}" for name in customer.amenity_features)
    parts = [
        f"# {customer.name} ({customer.id})",
        f"## Request\n\n{customer.request}",
        f"## Items wanted\n\n{items or 'None.'}",
        f"## Amenities required\n\n{amenities or 'None.'}",
        "## Last LLM call",
    ]
    return "\n\n".join([*parts, *(_call(call) if call else ["None."])]) + "\n"


def _call(call: ModelCall) -> list[str]:
    data = call.data
    shown = ("success", "provider", "model", "duration_ms", "token_count", "error_message", "api_args")
    facts = [("time", call.created_at), *((name, data.get(name)) for name in shown)]
    lines = "\n".join(f"- {name}: {_plain(value)}" for name, value in facts if value is not None)
    prompt = data.get("prompt")
    messages = prompt if isinstance(prompt, list) else [{"role": "user", "content": prompt}]
    return [
        lines,
        "### Prompt",
        *(f"**{message['role']}**\n\n{_fenced(str(message['content']))}" for message in messages),
        f"### Response format\n\n{_fenced(_pretty(data.get('response_format')), 'json')}",
        f"### Response\n\n{_fenced(_pretty(data.get('response')), 'json')}",
    ]


def _conversation(business: Business, customer: Customer, messages: list[Exchange]) -> str:
    parts = [f"# {business.name} ({business.id}) and {customer.name} ({customer.id})"]
    for sent in messages:
        who = business.name if sent.sender == business.id else customer.name
        kind = str(type(sent.message).__struct_config__.tag)
        if isinstance(sent.message, TextMessage):
            content = _fenced(sent.message.content)
        else:
            content = _fenced(_pretty(msgspec.to_builtins(sent.message)), "json")
        parts.append(f"## {who}: {kind}\n\n{sent.created_at}\n\n{content}")
    return "\n\n".join(parts) + "\n"


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _pretty(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)


def _fenced(text: str, kind: str = "text") -> str:
    """A code block; its fence is longer than any row of backticks inside."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}{kind}\n{text}\n{fence}"

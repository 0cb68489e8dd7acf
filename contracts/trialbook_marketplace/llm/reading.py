"""Reads our own prompts back, as models scripted for the market do: by the stable fragments of facts 8.3 only."""

from __future__ import annotations

import ast
import json
import re
from typing import Any

from msgspec import Struct, field

from trialbook_marketplace.models import Business

_INTRODUCTION = re.compile(r'They have the following request: (.*?)\n\nYour agent ID is: "([^"\n]*)"', re.DOTALL)
_STEP = re.compile(r"^=== STEP \d+ \[agent-.*\] ===$", re.MULTILINE)
_PAGE = re.compile(r"Showing page (\d+) of (\d+) search results")
_HIT = re.compile(r"^Found business: .* \(ID: (.+)\):$", re.MULTILINE)
_RESULT = re.compile(r"^Step \d+ result: (\[.*\])$", re.MULTILINE)
_RECEIVED = re.compile(r"📨 Received (\w+) from (.+?): (.*)", re.DOTALL)
_SENT = re.compile(r"Sent to (.*?): (.*)", re.DOTALL)
_AMENITY = re.compile(r"^  - (.+): (Yes|No)$", re.MULTILINE)
_ITEM = re.compile(r"^  - Item-(\d+): (.+) - \$([0-9.]+)$", re.MULTILINE)
_SAID = re.compile(r'Customer just said: "(.*)"\n\nContext: ', re.DOTALL)
_ADDRESSEE = re.compile(r"^- to_customer_id: (.+)$", re.MULTILINE)


class Offered(Struct, frozen=True):
    """A proposal as the customer's prompt shows it."""

    business_id: str
    proposal: dict[str, Any]


class Shopping(Struct):
    """The state of a customer, read from its prompt. ``asked`` and ``checked`` belong to the last search."""

    customer_id: str
    request: str
    page: int = 0
    pages: int = 0
    hits: list[str] = field(default_factory=list)
    asked: bool = False
    checked: bool = False
    paid: bool = False
    offers: list[Offered] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    """Ids of proposals whose payment failed."""


class Question(Struct, frozen=True):
    """What a business is asked, read from its prompt; the business has only what the prompt shows."""

    business: Business
    customer_id: str
    text: str


def is_customer_prompt(prompt: str) -> bool:
    """Whether this is the prompt of a customer."""
    return _INTRODUCTION.search(prompt) is not None


def is_business_prompt(prompt: str) -> bool:
    """Whether this is the prompt of a business."""
    return _SAID.search(prompt) is not None and _ADDRESSEE.search(prompt) is not None


def read_customer(prompt: str) -> Shopping:
    """The customer's state. Raises ``ValueError`` for another prompt."""
    introduction = _INTRODUCTION.search(prompt)
    if introduction is None:
        raise ValueError("this is not a customer's prompt")
    state = Shopping(introduction[2], introduction[1])
    for entry in _STEP.split(prompt)[1:]:
        _follow(state, entry.strip())
    return state


def _follow(state: Shopping, entry: str) -> None:
    if entry.startswith("Action: search_businesses:"):
        if (page := _PAGE.search(entry)) is not None:
            state.page, state.pages = int(page[1]), int(page[2])
        state.hits = _HIT.findall(entry)
        state.asked = state.checked = False
    elif entry.startswith("Action: send_messages"):
        _sent(state, _listed(entry))
    elif entry.startswith("Action: check_messages"):
        state.checked = True
        for line in _listed(entry):
            received = _RECEIVED.fullmatch(line)
            if received is not None and received[1] == "order_proposal":
                state.offers.append(Offered(received[2], json.loads(received[3])))


def _sent(state: Shopping, lines: list[str]) -> None:
    for line, outcome in zip(lines[::2], lines[1::2], strict=False):
        sent = _SENT.fullmatch(line)
        payment = _payment(sent[2]) if sent is not None else None
        if payment is None:
            state.asked = True
        elif outcome.startswith("🎉"):
            state.paid = True
        else:
            state.refused.add(payment)


def _payment(content: str) -> str | None:
    """The proposal that a sent message pays for, None for a text."""
    try:
        value = json.loads(content)
    except json.JSONDecodeError:
        return None
    return str(value["proposal_message_id"]) if isinstance(value, dict) and "proposal_message_id" in value else None


def _listed(entry: str) -> list[str]:
    result = _RESULT.search(entry)
    return [str(line) for line in ast.literal_eval(result[1])] if result is not None else []


def read_business(prompt: str) -> Question:
    """What the business is asked. Raises ``ValueError`` for another prompt."""
    said, addressee = _SAID.search(prompt), _ADDRESSEE.search(prompt)
    if said is None or addressee is None:
        raise ValueError("this is not a business's prompt")
    profile = prompt.partition("# Earlier conversation")[0]
    menu = sorted((int(number), item, float(price)) for number, item, price in _ITEM.findall(profile))
    business = Business(
        id="scripted", name="", description="", rating=1.0, progenitor_customer="", min_price_factor=1.0,
        menu_features={item: price for _, item, price in menu},
        amenity_features={name: answer == "Yes" for name, answer in _AMENITY.findall(profile)},
    )  # fmt: skip
    return Question(business, addressee[1], said[1])

"""The three actions and their parameters (facts, section 6.2). The action's name is its class name."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from trialbook_marketplace.protocol.messages import Message


class SearchConstraints(Struct, frozen=True):
    """Filters of the ``filtered`` algorithm; None means no such filter."""

    rating_threshold: float | None = None
    amenity_features: list[str] | None = None
    menu_items: list[str] | None = None


class Search(Struct, frozen=True, tag_field="type", tag="search"):
    """Find businesses by a query and return one page of them."""

    query: str
    search_algorithm: str
    constraints: SearchConstraints | None = None
    limit: int = 10
    page: int = 1


class SendMessage(Struct, frozen=True, tag_field="type", tag="send_message"):
    """Send a text, an order proposal or a payment to another agent."""

    from_agent_id: str
    to_agent_id: str
    created_at: Annotated[datetime, Meta(tz=True)]
    message: Message


class FetchMessages(Struct, frozen=True, tag_field="type", tag="fetch_messages"):
    """Read the messages addressed to the acting agent, oldest first."""

    from_agent_id: str | None = None
    limit: Annotated[int, Meta(ge=0)] | None = None
    offset: Annotated[int, Meta(ge=0)] | None = None
    after: Annotated[datetime, Meta(tz=True)] | None = None
    after_index: int | None = None


Action = Search | SendMessage | FetchMessages
ACTIONS: tuple[type[Search] | type[SendMessage] | type[FetchMessages], ...] = (Search, SendMessage, FetchMessages)


class ActionResult(Struct, frozen=True):
    """The outcome of an action; a refused action has ``is_error`` and says why in ``content``."""

    content: Any
    is_error: bool = False
    metadata: dict[str, Any] | None = None


def action_definitions() -> list[dict[str, Any]]:
    """``name``, ``description`` and JSON schema of the ``parameters`` of every action."""
    return [
        {
            "name": action.__name__,
            "description": " ".join((action.__doc__ or "").split()),
            "parameters": msgspec.json.schema(action),
        }
        for action in ACTIONS
    ]


def parse_action(name: str, parameters: Any) -> Action:
    """The typed action of an external request; raises ``msgspec.ValidationError`` with the reason."""
    for action in ACTIONS:
        if action.__name__ == name:
            if not isinstance(parameters, dict) or "type" not in parameters:
                raise msgspec.ValidationError("Object missing required field `type`")
            return msgspec.convert(parameters, action)
    known = ", ".join(action.__name__ for action in ACTIONS)
    raise msgspec.ValidationError(f"Unknown action {name!r}, expected one of: {known}")

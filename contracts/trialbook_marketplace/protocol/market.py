"""The engine: registers agents, executes their actions one at a time and commits every row (facts, section 6)."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct, field

from trialbook.clock import Clock
from trialbook.errors import Invalid, Unauthorized
from trialbook.ids import IdSource
from trialbook.times import rfc3339
from trialbook_marketplace import rnr
from trialbook_marketplace.models import Business, Customer
from trialbook_marketplace.protocol.actions import (
    Action,
    ActionResult,
    FetchMessages,
    Search,
    SendMessage,
    action_definitions,
    parse_action,
)
from trialbook_marketplace.protocol.messages import OrderProposal, Payment
from trialbook_marketplace.rows import EXPERIMENT, LEVELS, Row, Sink, SinkFailed
from trialbook_marketplace.search import SearchError, SearchIndex

Delivered = Callable[[str, str], None]
"""Called with the ids of addressee and sender after a message was committed."""


class _Agent(Struct):
    """A registered agent: its party, its row and the messages addressed to it, with their action indices."""

    party: Customer | Business
    row: Row
    indices: list[int] = field(default_factory=list)
    inbox: list[SendMessage] = field(default_factory=list)


def _nobody(_to: str, _sender: str) -> None:
    """Nobody waits for deliveries."""


class Market:
    """One run's market. Not thread-safe: it belongs to one event loop."""

    def __init__(
        self,
        sink: Sink,
        clock: Clock,
        ids: IdSource,
        delivered: Delivered = _nobody,
        search_models: rnr.Models | None = None,
    ) -> None:
        self.turn = asyncio.Lock()
        """Held through a step that may wait for ``prepare``: the rows of others do not come between by chance."""
        self._search_models = search_models
        self._sink = sink
        self._clock = clock
        self._ids = ids
        self._delivered = delivered
        self._agents: dict[str, _Agent] = {}
        self._index: SearchIndex | None = None
        self._offered: set[tuple[str, str, str]] = set()  # (sender, proposal id, addressee)
        self._paid: set[tuple[str, str, str]] = set()
        self.actions_count = 0
        self.logs_count = 0

    @property
    def agents_count(self) -> int:
        """Number of registered agents."""
        return len(self._agents)

    def register(self, party: Customer | Business) -> Row:
        """Register an agent, or replace the one of the same id in its place; returns the committed row."""
        kind = "customer" if isinstance(party, Customer) else "business"
        known = self._agents.get(party.id)
        data = {"id": party.id, "metadata": {"type": kind}, kind: msgspec.to_builtins(party)}
        row = {
            "index": known.row["index"] if known else len(self._agents) + 1,
            "id": party.id,
            "created_at": known.row["created_at"] if known else self._now(),
            "data": data,
        }
        if known:
            known.party, known.row = party, row
        else:
            self._agents[party.id] = _Agent(party, row)
        self._index = None
        self._commit(self._sink.agent, row)
        return row

    def agents(self) -> list[dict[str, Any]]:
        """The profiles of all agents, in registration order."""
        return [agent.row["data"] for agent in self._agents.values()]

    def definitions(self) -> list[dict[str, Any]]:
        """Name, description and parameter schema of every action."""
        return action_definitions()

    def request(self, agent_id: str, request: dict[str, Any]) -> ActionResult:
        """Execute ``{name, parameters, metadata}``; parameters that do not parse are refused and not recorded."""
        self._known(agent_id)
        metadata = request.get("metadata")
        if metadata is not None and not isinstance(metadata, dict):
            return ActionResult("metadata must be an object or null", is_error=True)
        try:
            action = parse_action(str(request.get("name")), request.get("parameters"))
        except msgspec.ValidationError as error:
            return ActionResult(str(error), is_error=True)
        return self.execute(agent_id, action, metadata)

    async def prepare(self, action: Search) -> None:
        """Await before ``execute`` of a search: what takes long is computed in a thread. The caller holds ``turn``."""
        await self._searches().prepare(action)

    def execute(self, agent_id: str, action: Action, metadata: dict[str, Any] | None = None) -> ActionResult:
        """Execute and commit one action; raises ``Unauthorized`` for an agent that is not registered."""
        agent = self._known(agent_id)
        parameters = msgspec.to_builtins(action)
        if isinstance(action, SendMessage):
            result = self._send(agent_id, action, parameters)
        elif isinstance(action, FetchMessages):
            result = _fetch(agent, action)
        else:
            result = self._search(agent, action)
        self.actions_count += 1
        request = {"name": type(action).__name__, "parameters": parameters, "metadata": metadata}
        outcome = {"content": result.content, "is_error": result.is_error, "metadata": result.metadata}
        data = {"agent_id": agent_id, "request": request, "result": outcome}
        self._commit(self._sink.action, self._row(self.actions_count, data))
        if isinstance(action, SendMessage) and not result.is_error:
            self._deliver(action)
        return result

    def log(
        self, level: str, message: str | None, data: dict[str, Any] | None = None, agent_id: str | None = None
    ) -> None:
        """Commit a log entry; without ``agent_id`` it belongs to the experiment itself."""
        if level not in LEVELS or (message is None and data is None):
            raise Invalid("invalid_log", f"a log needs one of the levels {', '.join(LEVELS)} and a message or data")
        self.logs_count += 1
        entry = {
            "level": level,
            "name": agent_id or EXPERIMENT,
            "message": message,
            "data": data,
            "metadata": {"agent_id": agent_id} if agent_id else None,
        }
        self._commit(self._sink.log, self._row(self.logs_count, entry))

    def _known(self, agent_id: str) -> _Agent:
        if not agent_id:
            raise Unauthorized("missing_agent_id", "X-Agent-Id header required")
        agent = self._agents.get(agent_id)
        if agent is None:
            raise Unauthorized("unknown_agent", "Invalid agent ID")
        return agent

    def _send(self, agent_id: str, action: SendMessage, parameters: dict[str, Any]) -> ActionResult:
        sender, recipient, message = action.from_agent_id, action.to_agent_id, action.message
        if sender != agent_id:
            return _refused(f"from_agent_id {sender} is not the acting agent {agent_id}")
        if recipient not in self._agents:
            return _refused(f"to_agent_id {recipient} not found")
        if isinstance(message, Payment):
            proposal = (recipient, message.proposal_message_id, sender)
            if proposal not in self._offered:
                return _invalid_proposal(f"No unexpired order proposals found with id {message.proposal_message_id}")
            if proposal in self._paid:
                return _invalid_proposal(f"Order proposal {message.proposal_message_id} has already been paid")
        return ActionResult(parameters, metadata={"status": "sent"})

    def _deliver(self, action: SendMessage) -> None:
        sender, recipient, message = action.from_agent_id, action.to_agent_id, action.message
        if isinstance(message, OrderProposal):
            self._offered.add((sender, message.id, recipient))
        elif isinstance(message, Payment):
            self._paid.add((recipient, message.proposal_message_id, sender))
        addressee = self._agents[recipient]
        addressee.indices.append(self.actions_count)
        addressee.inbox.append(action)
        self._delivered(recipient, sender)

    def _searches(self) -> SearchIndex:
        if self._index is None:
            parties = (known.party for known in self._agents.values())
            businesses = [party for party in parties if isinstance(party, Business)]
            self._index = SearchIndex(businesses, self._search_models)
        return self._index

    def _search(self, agent: _Agent, action: Search) -> ActionResult:
        try:
            page = self._searches().search(action, agent.party if isinstance(agent.party, Customer) else None)
        except SearchError as error:
            return _refused(str(error))
        content = {
            "businesses": [self._agents[business.id].row["data"] for business in page.hits],
            "search_algorithm": action.search_algorithm,
            "total_possible_results": page.total,
            "total_pages": page.pages,
        }
        return ActionResult(content)

    def _row(self, index: int, data: dict[str, Any]) -> Row:
        return {"index": index, "id": _uuid(self._ids.new()), "created_at": self._now(), "data": data}

    def _now(self) -> str:
        return rfc3339(self._clock.now())

    def _commit(self, write: Callable[[Row], None], row: Row) -> None:
        try:
            write(row)
        except Exception as error:
            raise SinkFailed(f"a row could not be recorded: {error}") from error


def _fetch(agent: _Agent, action: FetchMessages) -> ActionResult:
    start = bisect_right(agent.indices, action.after_index) if action.after_index is not None else 0
    skipped = action.offset or 0
    if action.from_agent_id is None and action.after is None:
        start, skipped = start + skipped, 0
    found = [
        (index, sent)
        for index, sent in zip(agent.indices[start:], agent.inbox[start:], strict=True)
        if (action.from_agent_id is None or sent.from_agent_id == action.from_agent_id)
        and (action.after is None or sent.created_at > action.after)
    ][skipped:]
    page = found if action.limit is None else found[: action.limit]
    messages = [
        {
            "from_agent_id": sent.from_agent_id,
            "to_agent_id": sent.to_agent_id,
            "created_at": msgspec.to_builtins(sent.created_at),
            "message": msgspec.to_builtins(sent.message),
            "index": index,
        }
        for index, sent in page
    ]
    return ActionResult({"messages": messages, "has_more": len(found) > len(page)})


def _refused(reason: str) -> ActionResult:
    return ActionResult({"error": reason}, is_error=True)


def _invalid_proposal(reason: str) -> ActionResult:
    return ActionResult({"error_type": "invalid_proposal", "message": reason}, is_error=True)


def _uuid(digits: str) -> str:
    """32 hex digits in the usual spelling of a UUID."""
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"

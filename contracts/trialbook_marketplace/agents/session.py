"""An agent's hands: the actions and logs of one agent on the market."""

from __future__ import annotations

import asyncio

import msgspec

from trialbook.clock import Clock
from trialbook_marketplace.agents.policy import Received
from trialbook_marketplace.agents.wakeups import Wakeups
from trialbook_marketplace.protocol.actions import Action, ActionResult, FetchMessages, Search, SendMessage
from trialbook_marketplace.protocol.market import Market
from trialbook_marketplace.protocol.messages import Message


class Session:
    """Acts and logs on behalf of one registered agent."""

    def __init__(self, agent_id: str, market: Market, wakeups: Wakeups, clock: Clock) -> None:
        self.agent_id = agent_id
        self.wakeups = wakeups
        self._market = market
        self._clock = clock
        self._fetched = 0

    def log(self, level: str, message: str, data: dict[str, object] | None = None) -> None:
        """Write a log entry under the agent's id."""
        self._market.log(level, message, data, self.agent_id)

    @property
    def turn(self) -> asyncio.Lock:
        """See ``Market.turn``."""
        return self._market.turn

    async def search(self, search: Search) -> ActionResult:
        """Execute a search without holding the event loop. The caller holds ``turn``."""
        await self._market.prepare(search)
        return self.execute(search)

    def execute(self, action: Action) -> ActionResult:
        """Execute an action as this agent."""
        return self._market.execute(self.agent_id, action)

    def send(self, to: str, message: Message) -> str | None:
        """Send one message; returns None, or why it was refused (which is logged as an error)."""
        action = SendMessage(self.agent_id, to, self._clock.now(), message)
        kind = type(message).__struct_config__.tag
        self.log("info", f"Sending {kind} message to {to}", msgspec.to_builtins(action))
        result = self.execute(action)
        if not result.is_error:
            return None
        reason = result.content.get("message") or result.content.get("error")
        what = "Payment" if kind == "payment" else f"Sending {kind} message"
        self.log("error", f"{what} to {to} failed: {reason}")
        return str(reason)

    def fetch_new(self) -> list[Received]:
        """Every message not fetched before, oldest first."""
        # An offset, not the last index seen: the inbox only grows at its end, and indices, unlike counts, depend on
        # what other agents did in the meantime.
        result = self.execute(FetchMessages(offset=self._fetched or None))
        messages = msgspec.convert(result.content["messages"], list[Received])
        self._fetched += len(messages)
        self.wakeups.collected(self.agent_id)
        return messages

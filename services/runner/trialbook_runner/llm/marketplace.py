"""The model port of the marketplace's agents, over recorded calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trialbook.workload import Failure
from trialbook_marketplace.agents.limits import RunStopped
from trialbook_runner.llm.deciding import Decider
from trialbook_runner.llm.requests import ChatMessage


class StoppedByModel(RunStopped):
    """The run must end with ``failure``: its budget is used up, or its replay diverged."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.detail)
        self.failure = failure


class MarketplaceModel:
    """Implements ``trialbook_marketplace.llm.Model``."""

    def __init__(self, decider: Decider) -> None:
        self._decider = decider

    async def decide(
        self,
        agent_id: str,
        thread: str,
        prompt: str,
        schema_name: str,
        schema: dict[str, Any],
        check: Callable[[dict[str, Any]], None],
        observe: Callable[[dict[str, Any]], None],
    ) -> dict[str, Any]:
        """One decision. Raises ``StoppedByModel``, ``DecisionFailed`` and ``CallFailed``."""
        try:
            return await self._decider.decide(
                agent_id, [ChatMessage("user", prompt)], schema_name, schema, scope=thread, check=check, observe=observe
            )
        except Failure as failure:
            raise StoppedByModel(failure) from failure

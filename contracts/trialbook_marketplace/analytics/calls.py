"""The model calls of a run, from its log rows (facts, section 9.3)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec import Struct

from trialbook_marketplace.rows import Row


class ModelCall(Struct, frozen=True):
    """One call log; ``data`` is as documented."""

    index: int
    agent_id: str
    created_at: str
    data: dict[str, Any]


def model_calls(logs: Iterable[Row]) -> list[ModelCall]:
    """All call logs in order; one without an agent belongs to the logger's name."""
    calls = []
    for row in logs:
        entry = row["data"]
        data = entry["data"]
        if isinstance(data, dict) and data.get("type") == "llm_call":
            agent = (entry["metadata"] or {}).get("agent_id") or entry["name"]
            calls.append(ModelCall(row["index"], agent, row["created_at"], data))
    return calls


def last_calls(logs: Iterable[Row]) -> dict[str, ModelCall]:
    """The last call of every agent that made one."""
    return {call.agent_id: call for call in model_calls(logs)}

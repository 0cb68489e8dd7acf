"""The history of a run as plain JSON-able rows: agents, actions and logs (facts, section 1)."""

from __future__ import annotations

from typing import Any, Protocol

from msgspec import Struct, field

Row = dict[str, Any]
"""``index`` (from 1, per kind, in commit order), ``id``, ``created_at`` (RFC 3339, ``Z``) and ``data``."""

LEVELS = ("debug", "info", "warning", "error")
EXPERIMENT = "marketplace_experiment"


class SinkFailed(Exception):
    """The sink could not take a row; the run cannot go on, because its history would have a gap."""


class Sink(Protocol):
    """Takes every row once, in index order within its kind, the moment it is committed. Must not block."""

    def agent(self, row: Row) -> None:
        """A registered agent; an agent registered again comes again under its first index."""
        ...

    def action(self, row: Row) -> None:
        """An executed action with its result."""
        ...

    def log(self, row: Row) -> None:
        """A log entry."""
        ...


class History(Struct):
    """A sink that keeps everything: for tests, exports and analytics of small runs."""

    agents: list[Row] = field(default_factory=list)
    actions: list[Row] = field(default_factory=list)
    logs: list[Row] = field(default_factory=list)

    def agent(self, row: Row) -> None:
        """Keep the row, in the place of an earlier registration of the same agent."""
        self.agents[row["index"] - 1 : row["index"]] = [row]

    def action(self, row: Row) -> None:
        """Keep the row."""
        self.actions.append(row)

    def log(self, row: Row) -> None:
        """Keep the row."""
        self.logs.append(row)


def log_entry(row: Row) -> dict[str, Any]:
    """The documented API form of a log row: ``timestamp, level, message, data, agent_id``."""
    data = row["data"]
    return {
        "timestamp": row["created_at"],
        "level": data["level"],
        "message": data["message"],
        "data": data["data"],
        "agent_id": (data["metadata"] or {}).get("agent_id"),
    }

"""Trialbook: run experiments and prove what happened."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trialbook.workload import Cancelled, Context, Failure, Paused, Workload, workload

if TYPE_CHECKING:
    from trialbook.client import AsyncClient, Client

__version__ = "0.1.0"
__all__ = [
    "AsyncClient",
    "Cancelled",
    "Client",
    "Context",
    "Failure",
    "Paused",
    "Workload",
    "__version__",
    "workload",
]


if not TYPE_CHECKING:  # a type checker would take it as leave to believe in any attribute

    def __getattr__(name: str) -> Any:
        """The clients, imported when they are asked for: whoever writes a workload needs no HTTP library."""
        if name not in {"AsyncClient", "Client"}:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from trialbook import client

        return getattr(client, name)

"""The model as the agents see it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

Check = Callable[[dict[str, Any]], None]
"""Raises ``ValueError`` with a text for the model when a well-formed answer makes no sense."""
Observe = Callable[[dict[str, Any]], None]
"""Told of every call in the form of a call log (facts, section 9.3): ``type, success, provider, model, ...``."""


class Model(Protocol):
    """Gives structured decisions."""

    async def decide(
        self,
        agent_id: str,
        thread: str,
        prompt: str,
        schema_name: str,
        schema: dict[str, Any],
        check: Check,
        observe: Observe,
    ) -> dict[str, Any]:
        """An object that fits ``schema`` and passes ``check``.

        Calls with one ``thread`` follow one another; others may run beside them. Raises ``RunStopped`` when the run
        must end, and any other exception for a failed decision.
        """
        ...

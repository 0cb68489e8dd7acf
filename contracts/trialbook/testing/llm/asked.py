"""A request as a script sees it, the same for every provider's wire."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Api = Literal["openai_chat", "openai_responses", "anthropic", "gemini"]


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """``prompt`` is all messages joined by blank lines; ``last`` is the newest one. Keys are not kept."""

    api: Api
    path: str
    model: str
    messages: list[tuple[str, str]]
    """Role (system, user, assistant) and text."""
    stream: bool = False
    schema_name: str | None = None
    schema: dict[str, Any] | None = None
    body: dict[str, Any] = {}

    @property
    def prompt(self) -> str:
        """All texts."""
        return "\n\n".join(text for _, text in self.messages)

    @property
    def last(self) -> str:
        """The newest text."""
        return self.messages[-1][1] if self.messages else ""

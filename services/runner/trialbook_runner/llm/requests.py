"""One call of a model: what is asked and what comes back, the same for every provider."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, Literal

import msgspec

from trialbook.llm.settings import Effort, LlmSettings
from trialbook.llm.usage import Usage

Role = Literal["system", "user", "assistant"]
Output = Literal["text", "schema", "json_text"]
"""Free text; an object enforced by the provider; an object asked for in the prompt."""
OnText = Callable[[str], None]
"""Called with every piece of text as it arrives; must not block."""


class ChatMessage(msgspec.Struct, frozen=True):
    """One message of a conversation."""

    role: Role
    content: str


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one call chooses; None takes the setting of the deployment."""

    provider: str | None = None
    model: str | None = None
    temperature: float | None = None
    reasoning_effort: Effort | None = None
    max_tokens: int | None = None


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A complete request; equal requests have equal digests."""

    provider: str
    model: str
    messages: list[ChatMessage]
    max_tokens: int
    temperature: float | None = None
    reasoning_effort: Effort | None = None
    output: Output = "text"
    schema_name: str | None = None
    schema: dict[str, Any] | None = None

    def digest(self) -> str:
        """SHA-256 (hex) over the canonical JSON."""
        return hashlib.sha256(msgspec.json.encode(self, order="deterministic")).hexdigest()


class Completion(msgspec.Struct, frozen=True, kw_only=True):
    """An answer; for structured output ``text`` is the JSON. ``model`` is what the server says it used."""

    text: str
    model: str
    usage: Usage
    finish: str = ""


def resolve(options: Options, settings: LlmSettings, provider: str | None) -> tuple[str | None, str | None]:
    """Provider and model of a call: its own choice before the run's and the deployment's."""
    return options.provider or provider or settings.provider, options.model or settings.model

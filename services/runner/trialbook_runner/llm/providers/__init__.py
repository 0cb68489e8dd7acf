"""One adapter per provider, over the provider's own client, made when first called."""

from __future__ import annotations

import asyncio
from typing import Protocol

from trialbook.llm import LlmSettings, ProviderSettings, describe_providers
from trialbook_runner.llm.errors import CallFailed, Kind
from trialbook_runner.llm.requests import Completion, OnText, Request


class Provider(Protocol):
    """Speaks to one provider. It repeats nothing and limits nothing; both are the caller's."""

    async def complete(self, request: Request, on_text: OnText | None = None) -> Completion:
        """One call; with ``on_text`` it is streamed. Raises ``CallFailed``, whose text may still quote a key."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


class Providers:
    """The usable providers of a process, with the cap on concurrent calls of each."""

    def __init__(self, settings: LlmSettings) -> None:
        self.settings = settings
        self.redactor = settings.redactor()
        self._made: dict[str, Provider] = {}
        self._slots = {name: asyncio.Semaphore(settings.concurrency) for name in settings.providers}

    def get(self, name: str) -> Provider:
        """The provider. Raises ``CallFailed`` saying what to set or install when it is not usable."""
        if name not in self._made:
            status = next((s for s in describe_providers(self.settings) if s.name == name), None)
            if status is None:
                raise CallFailed("bad_request", f"Unknown LLM provider {name!r}")
            if not status.usable:
                kind: Kind = "not_installed" if status.configured else "authentication"
                raise CallFailed(kind, f"LLM provider '{name}' is not configured: {status.missing[0]}")
            self._made[name] = _make(self.settings.providers[name], self.settings)
        return self._made[name]

    def slots(self, name: str) -> asyncio.Semaphore:
        """The cap on calls under way at this provider."""
        return self._slots[name]

    async def close(self) -> None:
        """Close all connections."""
        made, self._made = list(self._made.values()), {}
        for provider in made:
            await provider.close()


def _make(provider: ProviderSettings, settings: LlmSettings) -> Provider:
    if provider.name == "anthropic":
        from trialbook_runner.llm.providers.anthropic_messages import AnthropicMessages

        return AnthropicMessages(provider, settings)
    if provider.name == "gemini":
        from trialbook_runner.llm.providers.gemini import Gemini

        return Gemini(provider, settings)
    if settings.openai_api == "responses":
        from trialbook_runner.llm.providers.openai_responses import OpenAIResponses

        return OpenAIResponses(provider, settings)
    from trialbook_runner.llm.providers.openai_chat import OpenAIChat

    return OpenAIChat(provider, settings)

"""What both OpenAI interfaces share: the client and the rules for model names."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import quote

import openai

from trialbook.llm import LlmSettings, ProviderSettings
from trialbook_runner.llm.providers.wall import http_client
from trialbook_runner.llm.requests import Request

Close = Callable[[], Awaitable[None]]
REASONING = ("gpt-5", "o1", "o3", "o4")
TEMPERATURE_ANYWAY = "gpt-5-chat"
ENTRA_SCOPE = "https://cognitiveservices.azure.com/.default"


def make_client(provider: ProviderSettings, settings: LlmSettings) -> tuple[openai.AsyncOpenAI, Close]:
    """The client, which repeats nothing itself, and what closes it."""
    wire = http_client(settings.timeout_s, settings.concurrency)
    key = provider.key.reveal() if provider.key else ""
    client: openai.AsyncOpenAI
    if provider.name != "azure_openai":
        client = openai.AsyncOpenAI(
            api_key=key, base_url=provider.base_url, max_retries=0, timeout=settings.timeout_s, http_client=wire
        )
        return client, client.close
    endpoint, version = provider.base_url or "", provider.api_version
    if not provider.entra:
        client = openai.AsyncAzureOpenAI(
            azure_endpoint=endpoint, api_version=version, api_key=key, max_retries=0, timeout=settings.timeout_s,
            http_client=wire,
        )  # fmt: skip
        return client, client.close
    from azure.identity.aio import DefaultAzureCredential, get_bearer_token_provider

    credential = DefaultAzureCredential()
    client = openai.AsyncAzureOpenAI(
        azure_endpoint=endpoint, api_version=version, max_retries=0, timeout=settings.timeout_s, http_client=wire,
        azure_ad_token_provider=get_bearer_token_provider(credential, ENTRA_SCOPE),
    )  # fmt: skip

    async def close() -> None:
        await client.close()
        await credential.close()

    return client, close


def chat_path(provider: str, model: str) -> str:
    """Where chat completions are, below the client's address: in Azure each deployment has its own."""
    where = "/chat/completions"
    return f"/deployments/{quote(model, safe='')}{where}" if provider == "azure_openai" else where


def is_reasoning(model: str) -> bool:
    """Whether the model's name says that it reasons."""
    return any(name in model for name in REASONING)


def sent_temperature(request: Request) -> float | None:
    """Reasoning models refuse a temperature below 1."""
    temperature = request.temperature
    if temperature is None or not is_reasoning(request.model) or TEMPERATURE_ANYWAY in request.model:
        return temperature
    return temperature if temperature >= 1 else None


def sent_effort(request: Request) -> str | None:
    """For reasoning models only, not for o1; ``minimal`` is sent as ``low``, a number of tokens is not known here."""
    effort = request.reasoning_effort
    if not isinstance(effort, str) or not is_reasoning(request.model) or "o1" in request.model:
        return None
    return "low" if effort == "minimal" else effort

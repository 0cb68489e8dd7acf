"""Settings of the language models, from the environment: of several names for one setting the first found wins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

import msgspec

from trialbook.errors import Invalid
from trialbook.llm.secrets import Redactor, Secret

PROVIDERS = ("openai", "gemini", "anthropic", "azure_openai")
"""In the order of preference when none is named."""
EFFORTS = ("minimal", "low", "medium", "high")
AZURE_API_VERSION = "2025-04-01-preview"
PRICES_IN_WORKLOADS = "LLM_PRICES"
"""The price file's name in workloads' processes, which see no TRIALBOOK_ variables."""
PACKAGES = {"openai": "openai", "gemini": "google.genai", "anthropic": "anthropic", "azure_openai": "openai"}
"""The module that each provider's client is."""

Effort = str | int
"""One of ``EFFORTS``, or a number of tokens to think where the provider knows such a budget."""
OpenAIApi = Literal["chat", "responses"]


class ProviderSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How one provider is reached; ``base_url`` None means the provider's own."""

    name: str
    key: Secret | None = None
    base_url: str | None = None
    api_version: str | None = None
    entra: bool = False
    """Azure: ask Entra ID for a token instead of using a key."""

    @property
    def shown_url(self) -> str | None:
        """``base_url`` without user name, password and query."""
        return None if self.base_url is None else public_url(self.base_url)


class LlmSettings(msgspec.Struct, frozen=True, kw_only=True):
    """``max_tokens`` bounds one answer, ``concurrency`` the calls at a time per provider, times are seconds."""

    providers: dict[str, ProviderSettings]
    provider: str | None = None
    model: str | None = None
    reasoning_effort: Effort = "minimal"
    temperature: float | None = None
    max_tokens: int = 2000
    concurrency: int = 64
    openai_api: OpenAIApi = "chat"
    timeout_s: float = 120.0
    retries: int = 4
    """How often one call is repeated after a transport error."""
    prices: str | None = None
    """File with prices that go before the shipped ones."""

    def redactor(self) -> Redactor:
        """Masks every configured key."""
        return Redactor(provider.key for provider in self.providers.values() if provider.key is not None)


def llm_settings(env: Mapping[str, str]) -> LlmSettings:
    """Read the documented variables. Raises ``Invalid`` (``invalid_settings``), which never quotes a key."""
    provider = first(env, "LLM_PROVIDER", "API_PROVIDER")
    if provider is not None and provider not in PROVIDERS:
        raise _bad("LLM_PROVIDER", provider, f"one of {', '.join(PROVIDERS)}")
    api = env.get("LLM_OPENAI_API") or "chat"
    if api not in {"chat", "responses"}:
        raise _bad("LLM_OPENAI_API", api, "chat or responses")
    temperature = env.get("LLM_TEMPERATURE")
    return LlmSettings(
        providers={name: _provider(name, env) for name in PROVIDERS},
        provider=provider,
        model=first(env, "LLM_MODEL", "AME_MODEL", "AZURE_OPENAI_DEPLOYMENT_NAME"),
        reasoning_effort=_effort(first(env, "LLM_REASONING_EFFORT", "REASONING_EFFORT") or "minimal"),
        temperature=_number("LLM_TEMPERATURE", temperature, 0, 2) if temperature else None,
        max_tokens=_count(env, "LLM_MAX_TOKENS", 2000, 10_000_000),
        concurrency=_count(env, "LLM_MAX_CONCURRENCY", 64, 100_000),
        openai_api="responses" if api == "responses" else "chat",
        timeout_s=_number("LLM_TIMEOUT_S", env.get("LLM_TIMEOUT_S") or "120", 0.001, 86_400),
        retries=int(_number("LLM_RETRIES", env.get("LLM_RETRIES") or "4", 0, 100)),
        prices=first(env, "TRIALBOOK_LLM_PRICES", PRICES_IN_WORKLOADS),
    )


def first(env: Mapping[str, str], *names: str) -> str | None:
    """The value of the first of ``names`` that is set and not empty."""
    return next((env[name] for name in names if env.get(name)), None)


def public_url(url: str) -> str:
    """The address without credentials and query."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _provider(name: str, env: Mapping[str, str]) -> ProviderSettings:
    prefix = name.upper()
    key = env.get(f"{prefix}_API_KEY")
    settings = ProviderSettings(
        name=name, key=Secret(key) if key else None, base_url=env.get(f"{prefix}_BASE_URL") or None
    )
    if name != "azure_openai":
        return settings
    entra = env.get("AZURE_OPENAI_USE_ENTRA_ID", "").lower()
    if entra not in {"", "true", "false", "1", "0"}:
        raise _bad("AZURE_OPENAI_USE_ENTRA_ID", entra, "true or false")
    # True is the default, but a key that somebody set is meant to be used.
    wanted = entra in {"true", "1"} or (not entra and not key)
    return msgspec.structs.replace(
        settings,
        base_url=env.get("AZURE_OPENAI_ENDPOINT") or None,
        api_version=env.get("AZURE_OPENAI_API_VERSION") or AZURE_API_VERSION,
        entra=wanted,
    )


def _effort(text: str) -> Effort:
    if text in EFFORTS:
        return text
    if text.isdigit() and int(text) <= 10_000_000:
        return int(text)
    raise _bad("LLM_REASONING_EFFORT", text, f"{', '.join(EFFORTS)} or a number of tokens")


def _count(env: Mapping[str, str], name: str, default: int, most: int) -> int:
    text = env.get(name) or str(default)
    if not text.isdigit() or not 1 <= int(text) <= most:
        raise _bad(name, text, f"a whole number from 1 to {most}")
    return int(text)


def _number(name: str, text: str, least: float, most: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = most + 1
    if not least <= value <= most:
        raise _bad(name, text, f"a number from {least:g} to {most:g}")
    return value


def _bad(name: str, text: str, wanted: str) -> Invalid:
    return Invalid("invalid_settings", f"{name} is {text[:40]!r}; give {wanted}.")

"""Which providers are usable, and what is missing for the others: for ``trialbook doctor`` and ``GET /v1/llm``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib.util import find_spec

import msgspec

from trialbook.llm.settings import PACKAGES, PROVIDERS, LlmSettings, ProviderSettings

INSTALL = "pip install 'trialbook[llm]'"
INSTALL_AZURE = "pip install 'trialbook[llm,azure]'"


class ProviderStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One provider; it is usable when nothing is ``missing``. JSON-able, holds no key."""

    name: str
    usable: bool
    configured: bool
    """Whether its environment variables are complete, whatever is installed."""
    missing: list[str]
    """Sentences that say what to set or install, the most important first."""
    base_url: str | None = None
    """Without credentials; None means the provider's own."""


def describe_providers(settings: LlmSettings, installed: Callable[[str], bool] | None = None) -> list[ProviderStatus]:
    """The status of every provider, in order of preference. ``installed`` tells whether a module can be imported."""
    found = installed or _installed
    return [_status(settings.providers[name], found) for name in PROVIDERS]


def default_provider(settings: LlmSettings, statuses: Iterable[ProviderStatus]) -> str | None:
    """``LLM_PROVIDER``, or else the first configured provider, or None."""
    return settings.provider or next((status.name for status in statuses if status.configured), None)


def _status(provider: ProviderSettings, installed: Callable[[str], bool]) -> ProviderStatus:
    unset = _unset(provider)
    packages = []
    if not installed(PACKAGES[provider.name]):
        packages.append(f"the package {PACKAGES[provider.name]!r} is not installed: {INSTALL}")
    if provider.entra and not installed("azure.identity"):
        unset.append("AZURE_OPENAI_API_KEY is missing")
        packages.append(f"Entra ID needs the package 'azure.identity': {INSTALL_AZURE}")
    missing = unset + packages
    return ProviderStatus(
        name=provider.name, usable=not missing, configured=not unset, missing=missing, base_url=provider.shown_url
    )


def _unset(provider: ProviderSettings) -> list[str]:
    missing = []
    if provider.name == "azure_openai" and not provider.base_url:
        missing.append("AZURE_OPENAI_ENDPOINT is missing")
    if provider.key is None and not provider.entra:
        missing.append(f"{provider.name.upper()}_API_KEY is missing")
    return missing


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of the package above it
        return False

"""Settings of the marketplace dialect, read from the environment once at start."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from trialbook_marketplace.config import AVAILABLE_PROVIDERS
from trialbook_marketplace.datasets import bundled_root

KEYS = {
    "openai": "OPENAI_API_KEY", "gemini": "GEMINI_API_KEY", "anthropic": "ANTHROPIC_API_KEY",
    "azure_openai": "AZURE_OPENAI_API_KEY",
}  # fmt: skip


class MarketplaceSettings(msgspec.Struct, frozen=True, kw_only=True):
    """``dataset_roots`` are searched in order. ``configured`` names the providers that have a key."""

    dataset_roots: tuple[Path, ...]
    provider: str | None = None
    model: str | None = None
    configured: frozenset[str] = frozenset()
    cached_datasets: int = 64
    concurrent_reads: int = 2
    """Datasets, histories and exports that are read or built at the same time, each in a thread."""


def marketplace_settings(environment: Mapping[str, str] | None = None) -> MarketplaceSettings:
    """``TRIALBOOK_DATASET_ROOTS`` (paths joined like PATH) before the bundled sets; the documented LLM variables."""
    source = os.environ if environment is None else environment
    named = [Path(part) for part in source.get("TRIALBOOK_DATASET_ROOTS", "").split(os.pathsep) if part]
    return MarketplaceSettings(
        dataset_roots=(*(path.absolute() for path in named), bundled_root()),
        provider=_first(source, "LLM_PROVIDER", "API_PROVIDER"),
        model=_first(source, "LLM_MODEL", "AME_MODEL", "AZURE_OPENAI_DEPLOYMENT_NAME"),
        configured=frozenset(provider for provider in AVAILABLE_PROVIDERS if source.get(KEYS[provider])),
    )


def _first(source: Mapping[str, str], *names: str) -> str | None:
    return next((source[name] for name in names if source.get(name)), None)

"""Settings of the marketplace dialect, read from the environment once at start."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from trialbook_marketplace.datasets import bundled_root


class MarketplaceSettings(msgspec.Struct, frozen=True, kw_only=True):
    """``dataset_roots`` are searched in order."""

    dataset_roots: tuple[Path, ...]
    cached_datasets: int = 64
    concurrent_reads: int = 2
    """Datasets, histories and exports that are read or built at the same time, each in a thread."""


def marketplace_settings(environment: Mapping[str, str] | None = None) -> MarketplaceSettings:
    """``TRIALBOOK_DATASET_ROOTS`` (paths joined like PATH) before the bundled sets."""
    source = os.environ if environment is None else environment
    named = [Path(part) for part in source.get("TRIALBOOK_DATASET_ROOTS", "").split(os.pathsep) if part]
    return MarketplaceSettings(
        dataset_roots=(*(path.absolute() for path in named), bundled_root()),
    )

"""Settings of the dialects, read from the environment once at start."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import msgspec

SYSTEMS = ("marketplace", "algomancy", "finetune", "aide", "orchestrator")


class DialectSettings(msgspec.Struct, frozen=True, kw_only=True):
    """``root_systems``: whose documented paths are also served at the root; one alone gets every root request."""

    root_systems: tuple[str, ...] = SYSTEMS

    def sole(self, mounted: Sequence[str]) -> bool:
        """Whether one system, which is there, has the root for itself."""
        return len(self.root_systems) == 1 and self.root_systems[0] in mounted


def dialect_settings(environment: Mapping[str, str] | None = None) -> DialectSettings:
    """Settings from ``TRIALBOOK_ROOT_SYSTEMS`` (comma-separated). Raises ``ValueError`` for an unknown system."""
    source = os.environ if environment is None else environment
    text = source.get("TRIALBOOK_ROOT_SYSTEMS", "")
    named = tuple(dict.fromkeys(filter(None, (part.strip().lower() for part in text.split(",")))))
    unknown = sorted(set(named) - set(SYSTEMS))
    if unknown:
        raise ValueError(f"TRIALBOOK_ROOT_SYSTEMS: unknown {', '.join(unknown)}; known: {', '.join(SYSTEMS)}.")
    return DialectSettings(root_systems=named or SYSTEMS)

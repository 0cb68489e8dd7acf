"""Settings of the dialects, read from the environment once at start."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import msgspec

_ORIGINS = {
    "marketplace": "TRIALBOOK_CORS_ORIGINS_MARKETPLACE", "algomancy": "TRIALBOOK_CORS_ORIGINS_ALGOMANCY",
}  # fmt: skip
SYSTEMS = ("marketplace", "algomancy", "finetune", "aide", "orchestrator")


class DialectSettings(msgspec.Struct, frozen=True, kw_only=True):
    """``root_systems``: whose documented paths are also served at the root; one alone gets every root request."""

    root_systems: tuple[str, ...] = SYSTEMS
    cors_origins: dict[str, tuple[str, ...]] = {}
    """Origins of systems that have their own; the others have those of the gateway."""

    def sole(self, mounted: Sequence[str]) -> bool:
        """Whether one system, which is there, has the root for itself."""
        return len(self.root_systems) == 1 and self.root_systems[0] in mounted


def dialect_settings(environment: Mapping[str, str] | None = None) -> DialectSettings:
    """Settings from ``TRIALBOOK_ROOT_SYSTEMS`` and the origins of single systems, both comma-separated.

    An empty list of origins allows none. Raises ``ValueError`` for an unknown system.
    """
    source = os.environ if environment is None else environment
    named = tuple(dict.fromkeys(part.lower() for part in _list(source.get("TRIALBOOK_ROOT_SYSTEMS", ""))))
    unknown = sorted(set(named) - set(SYSTEMS))
    if unknown:
        raise ValueError(f"TRIALBOOK_ROOT_SYSTEMS: unknown {', '.join(unknown)}; known: {', '.join(SYSTEMS)}.")
    origins = {system: _list(source[name]) for system, name in _ORIGINS.items() if name in source}
    return DialectSettings(root_systems=named or SYSTEMS, cors_origins=origins)


def _list(text: str) -> tuple[str, ...]:
    return tuple(filter(None, (part.strip() for part in text.split(","))))

"""Settings of the algomancy API, read from the environment once at start."""

from __future__ import annotations

import os
from collections.abc import Mapping

import msgspec

from trialbook.algomancy import Profile, load_profile
from trialbook.algomancy.profiles import DEFAULT

MIB = 1024 * 1024


class AlgomancySettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a deployment may choose."""

    profile: str = DEFAULT
    allow_session_create: bool = True
    """Off: creating, copying and deleting sessions is 403, for deployments with a fixed set."""
    max_upload_bytes: int = 256 * MIB
    """One request's files together, or one JSON document."""
    max_upload_files: int = 64
    max_body_bytes: int = 4 * MIB
    """Bodies of everything but uploads and documents."""
    load_wait_s: float = 600.0
    """How long a request waits for its load before the load is given up."""
    max_scenarios: int = 0
    max_datasets: int = 0
    max_rows: int = 0
    """What one session may hold, rows being those of all tables of one dataset; 0: no limit."""
    cancel_wait_s: float = 3.0
    """How long a cancellation waits for the scenario's end before it replies with what there is."""
    initial_wait_s: float = 10.0
    """How long requests to the first session wait for the profile's own datasets at the very first start."""


_NAMES = {
    "profile": "TRIALBOOK_ALGOMANCY_PROFILE",
    "allow_session_create": "TRIALBOOK_ALGOMANCY_SESSION_CREATE",
    "max_upload_bytes": "TRIALBOOK_ALGOMANCY_MAX_UPLOAD_BYTES",
    "max_upload_files": "TRIALBOOK_ALGOMANCY_MAX_UPLOAD_FILES",
    "max_scenarios": "TRIALBOOK_ALGOMANCY_MAX_SCENARIOS",
    "max_datasets": "TRIALBOOK_ALGOMANCY_MAX_DATASETS",
    "max_rows": "TRIALBOOK_ALGOMANCY_MAX_ROWS",
    "load_wait_s": "TRIALBOOK_ALGOMANCY_LOAD_WAIT_S",
}


def algomancy_settings(environment: Mapping[str, str] | None = None) -> AlgomancySettings:
    """Settings from the environment. Raises ``ValueError`` naming the variable that cannot be read."""
    source = os.environ if environment is None else environment
    values: dict[str, object] = {}
    for field, name in _NAMES.items():
        if text := source.get(name, ""):
            values[field] = (
                {"on": True, "off": False}.get(text.lower(), text) if field == "allow_session_create" else text
            )
    try:
        return msgspec.convert(values, AlgomancySettings, strict=False)
    except msgspec.ValidationError as error:
        raise ValueError(f"The settings of the algomancy API: {error}") from None


def served(settings: AlgomancySettings) -> Profile:
    """The chosen profile. Raises ``ProfileError``."""
    return load_profile(settings.profile)

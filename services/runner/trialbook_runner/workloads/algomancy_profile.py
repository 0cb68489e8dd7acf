"""The profile that this runner's scenarios and loads belong to."""

from __future__ import annotations

import importlib
import os

from trialbook.algomancy import Profile, load_profile
from trialbook.algomancy.profiles import DEFAULT

VARIABLE = "TRIALBOOK_ALGOMANCY_PROFILE"
# Read while workloads are loaded: the processes in which they are executed have no such variables.
CHOSEN = os.environ.get(VARIABLE, "")
PROFILE = CHOSEN or DEFAULT

if CHOSEN:
    # Whoever chooses a profile executes scenarios: loaded once, before the fork, it costs none of them anything.
    load_profile(PROFILE)
    importlib.import_module("trialbook_algomancy.data")


def served() -> Profile:
    """The profile. Raises ``ProfileError``."""
    return load_profile(PROFILE)

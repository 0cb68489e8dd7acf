"""Importing this loads what every scenario needs: the profile, and pandas with what reads its tables."""

import importlib

from trialbook.algomancy import load_profile
from trialbook_runner.workloads.algomancy_profile import PROFILE

load_profile(PROFILE)
importlib.import_module("trialbook_algomancy.data")

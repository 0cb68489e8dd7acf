"""Authoring of algomancy plugins: parameters, algorithms, KPIs, profiles. Cheap to import: no pandas, no numpy."""

from __future__ import annotations

from trialbook.algomancy.authoring import Algorithm, Data, Profile, ProfileError, Progress, algorithm
from trialbook.algomancy.execution import Outcome, execute
from trialbook.algomancy.kpis import SENTINEL, BetterWhen, Evaluation, Kpi, evaluate, kpi
from trialbook.algomancy.parameter_sets import EMPTY, ParameterSet, Values, parameter_set
from trialbook.algomancy.parameters import (
    Boolean,
    Enum,
    Float,
    Integer,
    Interval,
    MultiEnum,
    Parameter,
    ParameterError,
    String,
    Time,
)
from trialbook.algomancy.profiles import load_profile

__all__ = [
    "EMPTY",
    "SENTINEL",
    "Algorithm",
    "BetterWhen",
    "Boolean",
    "Data",
    "Enum",
    "Evaluation",
    "Float",
    "Integer",
    "Interval",
    "Kpi",
    "MultiEnum",
    "Outcome",
    "Parameter",
    "ParameterError",
    "ParameterSet",
    "Profile",
    "ProfileError",
    "Progress",
    "String",
    "Time",
    "Values",
    "algorithm",
    "evaluate",
    "execute",
    "kpi",
    "load_profile",
    "parameter_set",
]

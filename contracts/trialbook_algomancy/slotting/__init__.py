"""The slotting profile: where in a warehouse each article should lie."""

from __future__ import annotations

from dataclasses import replace

from trialbook.algomancy import Profile
from trialbook_algomancy.slotting.algorithms import annealing, as_is, greedy
from trialbook_algomancy.slotting.assignment import exact
from trialbook_algomancy.slotting.example import slotting_files
from trialbook_algomancy.slotting.files import etl
from trialbook_algomancy.slotting.kpis import reslot_cost, travel_distance, zone_balance
from trialbook_algomancy.slotting.parameters import warehouse_parameters
from trialbook_algomancy.slotting.probes import failure_modes, instant, long_progress, parameter_matrix

profile = Profile(
    title="Algomancy API (Example)",
    algorithms=(as_is, greedy, annealing, instant, long_progress, failure_modes, parameter_matrix, exact),
    kpis=(travel_distance, zone_balance, reslot_cost),
    etl=etl,
    datasets=lambda: {"example_data": slotting_files()},
    autocreate=True,
    default_algorithm="Instant",
)

warehouse = replace(profile, title="Warehouse", data_parameters=warehouse_parameters)
"""The same with datasets that declare parameters: ``trialbook_algomancy.slotting:warehouse``."""

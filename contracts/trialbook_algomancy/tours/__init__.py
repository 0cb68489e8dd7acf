"""The tours profile: the shortest round trip through all locations."""

from __future__ import annotations

from collections.abc import Mapping
from math import nan
from typing import Any

from trialbook.algomancy import Profile, kpi
from trialbook_algomancy.schemas import Column, EtlConfig, Group, Schema
from trialbook_algomancy.tours.algorithms import annealing, nearest_neighbour
from trialbook_algomancy.tours.example import tour_files
from trialbook_algomancy.tours.locations import read_locations
from trialbook_algomancy.tours.shortest import solver

COLUMNS = (Column("ID", "int64", primary_key=True), Column("x", "float64"), Column("y", "float64"))


@kpi("Total_costs", better_when="LOWER")
def total_costs(result: Mapping[str, Any], data: Any) -> float:
    """Length of the closed tour, from the coordinates; NaN for results without a tour."""
    if "tour" not in result:
        return nan
    locations = read_locations(data)
    position = {id_: index for index, id_ in enumerate(locations.ids)}
    return locations.length([position[id_] for id_ in result["tour"]])


profile = Profile(
    title="Tours",
    algorithms=(nearest_neighbour, annealing, solver),
    kpis=(total_costs,),
    etl=EtlConfig(
        schemas=(
            Schema("dc", "xlsx", COLUMNS),
            Schema("stores", "csv", COLUMNS),
            Schema("otherlocations", "xlsx", groups=(Group("customer", COLUMNS), Group("xdock", COLUMNS))),
        ),
    ),
    datasets=lambda: {"example_data": tour_files()},
)

"""What an allocation costs: travel, imbalance of the zones, and moves. NaN for results without an allocation."""

from __future__ import annotations

from collections.abc import Mapping
from math import nan, sqrt
from typing import Any

from trialbook.algomancy import kpi
from trialbook_algomancy.slotting.warehouse import read_warehouse


@kpi("Travel Distance", unit="m", better_when="LOWER")
def travel_distance(result: Mapping[str, Any], data: Any) -> float:
    """Daily picks times distance from the depot of the result."""
    if "allocation" not in result:
        return nan
    return read_warehouse(data).cost(result["allocation"], result["depot_x"], result["depot_y"])


@kpi("Zone Balance", better_when="LOWER")
def zone_balance(result: Mapping[str, Any], data: Any) -> float:
    """Population standard deviation of the daily picks per zone, over the zones that hold at least one item."""
    if "allocation" not in result:
        return nan
    warehouse = read_warehouse(data)
    zone_of, allocation = warehouse.zone_of(), result["allocation"]
    load: dict[str, float] = {}
    for item, picks in zip(warehouse.items, warehouse.picks, strict=True):
        zone = zone_of.get(allocation.get(item) or "")
        if zone is not None:
            load[zone] = load.get(zone, 0.0) + picks
    if not load:
        return 0.0
    mean = sum(load.values()) / len(load)
    return sqrt(sum((picks - mean) ** 2 for picks in load.values()) / len(load))


@kpi("Reslot Cost", better_when="LOWER")
def reslot_cost(result: Mapping[str, Any], data: Any) -> float:
    """How many items have to move."""
    if "allocation" not in result:
        return nan
    current = read_warehouse(data).allocation()
    return float(sum(slot != current.get(item) for item, slot in result["allocation"].items()))

"""The proven optimum: a linear assignment of items to slots, with zones as separate blocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trialbook.algomancy import Progress, Values, algorithm
from trialbook_algomancy.slotting.algorithms import SHARED, chosen, slotted
from trialbook_algomancy.slotting.warehouse import Allocation, Warehouse, read_warehouse

MAX_PAIRS = 25_000_000
"""Items times slots of one block; the solver keeps all their costs in memory (8 bytes each)."""


@algorithm("Exact Slotting", *SHARED)
def exact(data: Any, values: Values, progress: Progress) -> dict[str, Any]:
    """No allocation has less travel distance than this one. Zones, if respected, are solved one by one."""
    warehouse = chosen(data, read_warehouse(data))
    distances = warehouse.distances(values["depot_x"], values["depot_y"])
    distance_of = dict(zip(warehouse.slots, distances, strict=True))
    allocation = warehouse.allocation()
    blocks = _blocks(warehouse, respect_zones=values["respect_zones"])
    for number, (items, slots) in enumerate(blocks, 1):
        _assign(warehouse, allocation, distance_of, items, [warehouse.slots[j] for j in slots])
        progress(100 * number / len(blocks))
    progress(100)
    cost = warehouse.cost(allocation, values["depot_x"], values["depot_y"])
    return slotted(allocation, values) | {"cost": cost, "proven_optimal": True}


def _blocks(warehouse: Warehouse, *, respect_zones: bool) -> list[tuple[list[int], list[int]]]:
    """Positions of items and of the slots they may take. Items of an unknown zone are in no block: they stay."""
    if not respect_zones:
        return [(list(range(len(warehouse.items))), list(range(len(warehouse.slots))))]
    zone_of = warehouse.zone_of()
    blocks: dict[str, tuple[list[int], list[int]]] = {}
    for position, zone in enumerate(warehouse.zones):
        if zone is not None:
            blocks.setdefault(zone, ([], []))[1].append(position)
    for position, slot in enumerate(warehouse.current):
        home = zone_of.get(slot or "")
        if home is not None:
            blocks[home][0].append(position)
    return [block for block in blocks.values() if block[0]]


def _assign(
    warehouse: Warehouse, allocation: Allocation, distance_of: dict[str, float], items: list[int], slots: Sequence[str]
) -> None:
    """Allocate one block in place. With fewer slots than items the rest stays where it is, at the cost it has there."""
    import numpy as np
    from scipy.optimize import linear_sum_assignment

    short = max(0, len(items) - len(slots))
    if len(items) * (len(slots) + short) > MAX_PAIRS:
        raise ValueError(
            f"Exact Slotting takes at most {MAX_PAIRS} pairs of items and slots at once; "
            f"here are {len(items)} items and {len(slots)} slots."
        )
    picks = np.array([warehouse.picks[i] for i in items], dtype=float)
    costs = np.outer(picks, [distance_of[slot] for slot in slots])
    if short:
        staying = picks * [distance_of.get(warehouse.current[i] or "", 0.0) for i in items]
        costs = np.hstack([costs, np.repeat(staying[:, None], short, axis=1)])
    for row, column in zip(*linear_sum_assignment(costs), strict=True):
        if column < len(slots):
            allocation[warehouse.items[items[row]]] = slots[column]

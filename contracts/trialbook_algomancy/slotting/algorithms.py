"""Slotting algorithms: leave everything, largest picks nearest, and simulated annealing by swaps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import exp
from random import Random
from typing import Any

from trialbook.algomancy import Boolean, Float, Integer, Progress, Values, algorithm
from trialbook_algomancy.reading import table, texts
from trialbook_algomancy.slotting.warehouse import Allocation, Warehouse, read_warehouse

SHARED = (Float("depot_x", default=0.0), Float("depot_y", default=0.0), Boolean("respect_zones"))


def slotted(allocation: Allocation, values: Values) -> dict[str, Any]:
    """The result of a slotting algorithm: where everything goes, and from where distances count."""
    return {"allocation": allocation, "depot_x": values["depot_x"], "depot_y": values["depot_y"]}


@algorithm("AsIs Slotting", *SHARED)
def as_is(data: Any, values: Values, progress: Progress) -> dict[str, Any]:
    """Every item stays where it is."""
    allocation = read_warehouse(data).allocation()
    progress(100)
    return slotted(allocation, values)


@algorithm("Greedy Slotting", *SHARED)
def greedy(data: Any, values: Values, progress: Progress) -> dict[str, Any]:
    """The most picked item gets the slot nearest to the depot, and so on; within its zone if zones are respected."""
    warehouse = chosen(data, read_warehouse(data))
    distances = warehouse.distances(values["depot_x"], values["depot_y"])
    allocation = nearest_first(warehouse, distances, respect_zones=values["respect_zones"])
    progress(100)
    return slotted(allocation, values)


def chosen(data: Any, warehouse: Warehouse) -> Warehouse:
    """The items that the data parameters of the scenario leave, if the dataset has any."""
    categories, least = data.parameters.get("category_filter"), data.parameters.get("min_daily_picks", 0)
    if categories is None and not least:
        return warehouse
    skus = table(data, "sku_data", "category")
    of = texts(skus[skus["itemid"].notna()]["category"])
    rows = zip(of, warehouse.picks, strict=True)
    return warehouse.only(
        [(categories is None or category in categories) and picks >= least for category, picks in rows]
    )


def nearest_first(warehouse: Warehouse, distances: Sequence[float], *, respect_zones: bool) -> Allocation:
    """Items by picks descending and id ascending, slots by distance and position; each item takes the next slot.

    Where no slot is left, or the zone of the current slot is not known, an item stays.
    """
    import numpy as np

    by_distance = np.argsort(np.asarray(distances, dtype=float), kind="stable").tolist()
    by_id = sorted(range(len(warehouse.items)), key=warehouse.items.__getitem__)
    picks = np.asarray(warehouse.picks, dtype=float)[by_id]
    by_picks = [by_id[k] for k in np.argsort(-picks, kind="stable").tolist()]
    zone_of = warehouse.zone_of() if respect_zones else {}
    everywhere: dict[str | None, Iterator[str]] = {None: (warehouse.slots[j] for j in by_distance)}
    free = _free_slots(warehouse, by_distance) if respect_zones else everywhere
    allocation = warehouse.allocation()
    for i in by_picks:
        current = warehouse.current[i]
        zone = zone_of.get(current or "")
        if zone in free:
            allocation[warehouse.items[i]] = next(free[zone], current)
    return allocation


def _free_slots(warehouse: Warehouse, by_distance: Sequence[int]) -> dict[str | None, Iterator[str]]:
    """Zone -> its slots, the nearest first."""
    by_zone: dict[str, list[str]] = {zone: [] for zone in warehouse.zones if zone is not None}
    for j in by_distance:
        zone = warehouse.zones[j]
        if zone is not None:
            by_zone[zone].append(warehouse.slots[j])
    return {zone: iter(slots) for zone, slots in by_zone.items()}


@algorithm(
    "SA Slotting",
    *SHARED,
    Integer("iterations", default=2000, minimum=1),
    Float("start_temperature", default=100.0, minimum=1e-6),
    Float("cooling_rate", default=0.995, minimum=1e-6),
    Integer("seed", default=42),
)
def annealing(data: Any, values: Values, progress: Progress) -> dict[str, Any]:
    """Simulated annealing: swap two items at random, more reluctantly the longer it takes. Zones have no effect."""
    warehouse = read_warehouse(data)
    allocation = warehouse.allocation()
    if len(allocation) >= 2:
        distances = warehouse.distances(values["depot_x"], values["depot_y"])
        _anneal(warehouse, allocation, dict(zip(warehouse.slots, distances, strict=True)), values, progress)
    progress(100)
    return slotted(allocation, values)


def _anneal(
    warehouse: Warehouse, allocation: Allocation, distance: dict[str, float], values: Values, progress: Progress
) -> None:
    """Change ``allocation`` in place. The order of draws and of every operation is part of the contract."""
    generator = Random(values["seed"])  # noqa: S311 -- reproducible, not secret
    iterations, temperature, cooling = values["iterations"], values["start_temperature"], values["cooling_rate"]
    picks = dict(zip(warehouse.items, warehouse.picks, strict=True))
    far = {item: distance.get(slot or "", 0.0) for item, slot in allocation.items()}
    items, every = list(allocation), max(1, iterations // 100)
    for i in range(iterations):
        if i % 1000 == 0:
            progress.check()
        a, b = generator.sample(items, 2)
        delta = picks[a] * (far[b] - far[a]) + picks[b] * (far[a] - far[b])
        if delta < 0 or (temperature > 0 and generator.random() < exp(-delta / temperature)):
            allocation[a], allocation[b] = allocation[b], allocation[a]
            far[a], far[b] = far[b], far[a]
        temperature *= cooling
        if (i + 1) % every == 0:
            progress(int(100 * (i + 1) / iterations))

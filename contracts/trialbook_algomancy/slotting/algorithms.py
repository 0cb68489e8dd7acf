"""Slotting algorithms: leave everything, largest picks nearest, and simulated annealing by swaps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import exp
from random import Random
from typing import Any

from trialbook.algomancy import Boolean, Float, Integer, Progress, Values, algorithm
from trialbook_algomancy.slotting.warehouse import Allocation, Warehouse, read_warehouse, texts

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
    skus = data.tables["sku_data"]
    of = texts(skus[skus["itemid"].notna()]["category"])
    rows = zip(of, warehouse.picks, strict=True)
    return warehouse.only(
        [(categories is None or category in categories) and picks >= least for category, picks in rows]
    )


def nearest_first(warehouse: Warehouse, distances: Sequence[float], *, respect_zones: bool) -> Allocation:
    """Items by picks descending and id ascending, slots by distance and position; each item takes the next slot.

    Where no slot is left, or the zone of the current slot is not known, an item stays.
    """
    slots = [warehouse.slots[i] for i in sorted(range(len(distances)), key=distances.__getitem__)]
    zone_of = warehouse.zone_of() if respect_zones else {}
    free: dict[str | None, Iterator[str]]
    if respect_zones:
        zones = {zone for zone in warehouse.zones if zone is not None}
        by_zone: dict[str | None, list[str]] = {zone: [] for zone in zones}
        for slot in slots:
            by_zone.get(zone_of[slot], []).append(slot)
        free = {zone: iter(of_zone) for zone, of_zone in by_zone.items()}
    else:
        free = {None: iter(slots)}
    allocation = warehouse.allocation()
    rows = zip(warehouse.picks, warehouse.items, warehouse.current, strict=True)
    for _, item, current in sorted(rows, key=lambda row: (-row[0], row[1])):
        zone = zone_of.get(current or "") if respect_zones else None
        allocation[item] = next(free.get(zone, iter(())), current)
    return allocation


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
        a, b = generator.sample(items, 2)
        delta = picks[a] * (far[b] - far[a]) + picks[b] * (far[a] - far[b])
        if delta < 0 or (temperature > 0 and generator.random() < exp(-delta / temperature)):
            allocation[a], allocation[b] = allocation[b], allocation[a]
            far[a], far[b] = far[b], far[a]
        temperature *= cooling
        if (i + 1) % every == 0:
            progress(int(100 * (i + 1) / iterations))

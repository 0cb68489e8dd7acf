"""A warehouse as plain lists: which item lies where, and how far each slot is from the depot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import sqrt
from typing import Any

from trialbook_algomancy.reading import numbers, table, texts

Allocation = dict[str, str | None]
"""Item id -> slot id; None where the item has no slot."""


@dataclass(frozen=True)
class Warehouse:
    """Items (id, picks per day, current slot) and slots (id, x, y in m, zone), each in table order."""

    items: Sequence[str]
    picks: Sequence[float]
    current: Sequence[str | None]
    slots: Sequence[str]
    x: Sequence[float]
    y: Sequence[float]
    zones: Sequence[str | None]

    def distances(self, depot_x: float, depot_y: float) -> list[float]:
        """Straight-line distance of each slot from the depot, in m."""
        pairs = zip(self.x, self.y, strict=True)
        return [sqrt((x - depot_x) * (x - depot_x) + (y - depot_y) * (y - depot_y)) for x, y in pairs]

    def allocation(self) -> Allocation:
        """Where everything lies now."""
        return dict(zip(self.items, self.current, strict=True))

    def zone_of(self) -> dict[str, str | None]:
        """Slot id -> zone."""
        return dict(zip(self.slots, self.zones, strict=True))

    def only(self, keep: Sequence[bool]) -> Warehouse:
        """The same warehouse with some of the items."""
        chosen = [index for index, kept in enumerate(keep) if kept]
        items, picks = [self.items[i] for i in chosen], [self.picks[i] for i in chosen]
        return replace(self, items=items, picks=picks, current=[self.current[i] for i in chosen])

    def cost(self, allocation: Mapping[str, str | None], depot_x: float, depot_y: float) -> float:
        """Daily picks times distance, summed over the items in table order; in m.

        Items without a slot, or in a slot that does not exist, do not count.
        """
        distance = dict(zip(self.slots, self.distances(depot_x, depot_y), strict=True))
        total = 0.0
        for item, picks in zip(self.items, self.picks, strict=True):
            far = distance.get(allocation.get(item) or "")
            if far is not None:
                total += picks * far
        return total


def read_warehouse(data: Any) -> Warehouse:
    """The tables ``sku_data`` and ``warehouse_layout`` of a dataset; rows without an id are left out.

    Raises ``ValueError`` when a table or column is missing, or text stands where numbers are needed.
    """
    skus = table(data, "sku_data", "itemid", "daily_picks", "currentslot")
    layout = table(data, "warehouse_layout", "slotid", "x", "y", "zone")
    skus, layout = skus[skus["itemid"].notna()], layout[layout["slotid"].notna()]
    return Warehouse(
        items=[str(item) for item in skus["itemid"].tolist()],
        picks=numbers(skus["daily_picks"]),
        current=texts(skus["currentslot"]),
        slots=[str(slot) for slot in layout["slotid"].tolist()],
        x=numbers(layout["x"]),
        y=numbers(layout["y"]),
        zones=texts(layout["zone"]),
    )

"""Locations of a tour, and how long a tour through all of them is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import hypot, isfinite
from typing import Any

from trialbook_algomancy.reading import numbers, table

TABLES = ("dc", "stores", "otherlocations.customer", "otherlocations.xdock")
Id = int | str


@dataclass(frozen=True)
class Locations:
    """Ids with coordinates, by id ascending; numbers come before text."""

    ids: Sequence[Id]
    x: Sequence[float]
    y: Sequence[float]

    def distance(self, a: int, b: int) -> float:
        """Straight line between two positions, in the unit of the coordinates."""
        return hypot(self.x[a] - self.x[b], self.y[a] - self.y[b])

    def length(self, tour: Sequence[int]) -> float:
        """Length of the closed tour through positions in that order."""
        return sum(self.distance(tour[i - 1], tour[i]) for i in range(len(tour)))


def read_locations(data: Any) -> Locations:
    """All locations of a dataset, from whichever of its four tables there are.

    Raises ``ValueError`` for no location at all, an id that comes twice, and a column or coordinate that is missing.
    """
    rows = [row for name in TABLES if name in data.tables for row in _rows(table(data, name, "ID", "x", "y"))]
    if not rows:
        raise ValueError(f"The dataset has no locations: its tables are {', '.join(TABLES)}.")
    rows.sort(key=lambda row: (isinstance(row[0], str), row[0]))
    for before, row in pairwise(rows):
        if before[0] == row[0]:
            raise ValueError(f"The location {row[0]!r} is there twice.")
    ids, x, y = zip(*rows, strict=True)
    return Locations(ids, x, y)


def _rows(found: Any) -> list[tuple[Id, float, float]]:
    x, y = numbers(found["x"]), numbers(found["y"])
    if found["ID"].isna().any() or not all(map(isfinite, (*x, *y))):
        raise ValueError("Every location needs an ID, x and y.")
    return list(zip(found["ID"].tolist(), x, y, strict=True))

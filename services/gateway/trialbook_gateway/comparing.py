"""Numbers of several things beside each other: which is best, what meets its threshold, how far from a baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

import msgspec

from trialbook.algomancy import Kpi
from trialbook_gateway.tables import Column, Table

Number = float | int


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to compare: what says which it is, and its numbers by measure; None: there is none."""

    id: str
    about: dict[str, Any]
    values: Mapping[str, Number | None]


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One number. ``difference`` is value - baseline, ``relative_difference`` that as a share of the baseline's size.

    ``better``: 1 better than the baseline, -1 worse, 0 neither; null where there is no direction or no baseline.
    """

    value: Number | None
    meets_threshold: bool | None
    best: bool
    difference: Number | None
    relative_difference: float | None
    better: int | None


class Measure(msgspec.Struct, frozen=True, kw_only=True):
    """A column of the comparison; without ``better_when`` there is no best."""

    key: str
    name: str
    unit: str = ""
    better_when: str | None = None
    threshold: float | None = None
    best: list[str] = []


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """``rows``: what says which it is, and ``values``: measure -> Cell."""

    baseline: str | None
    measures: list[Measure]
    rows: list[dict[str, Any]]


def compare(measures: Sequence[Measure], rows: Sequence[Row], baseline: str | None) -> Comparison:
    """All rows beside each other and beside the row ``baseline``, if there is one."""
    base: Mapping[str, Number | None] = next((row.values for row in rows if row.id == baseline), {})
    known = [(measure, _kpi(measure)) for measure in measures]
    best = {
        measure.key: [] if kpi is None else kpi.best({row.id: row.values.get(measure.key) for row in rows})
        for measure, kpi in known
    }
    found = []
    for row in rows:
        cells = {
            measure.key: _cell(kpi, row.values.get(measure.key), base.get(measure.key), row.id in best[measure.key])
            for measure, kpi in known
        }
        found.append({**row.about, "values": cells})
    listed = [msgspec.structs.replace(measure, best=best[measure.key]) for measure, _ in known]
    return Comparison(baseline=baseline, measures=listed, rows=found)


def table(compared: Comparison, about: Sequence[str]) -> Table:
    """The comparison with a row per thing and five columns per measure, behind those that say which thing it is."""
    columns = [Column(name, "text") for name in about]
    for measure in compared.measures:
        unit = f" [{measure.unit}]" if measure.unit else ""
        columns += [
            Column(measure.key + unit, "number"), Column(f"{measure.key}: meets threshold", "boolean"),
            Column(f"{measure.key}: best", "boolean"), Column(f"{measure.key}: difference", "number"),
            Column(f"{measure.key}: relative difference", "number"),
        ]  # fmt: skip
    rows = []
    for row in compared.rows:
        line = [row[name] for name in about]
        for measure in compared.measures:
            cell = row["values"][measure.key]
            line += [cell.value, cell.meets_threshold, cell.best, cell.difference, cell.relative_difference]
        rows.append(line)
    return Table(columns, rows)


def _kpi(measure: Measure) -> Kpi | None:
    """The measure's direction and threshold; nothing is computed with it."""
    if measure.better_when is None:
        return None
    return Kpi(measure.key, lambda *_: 0.0, measure.better_when, threshold=measure.threshold)  # type: ignore[arg-type]


def _cell(kpi: Kpi | None, value: Number | None, base: Number | None, best: bool) -> Cell:
    known = value is not None and base is not None
    difference = _finite(value - base) if value is not None and base is not None else None
    return Cell(
        value=value, meets_threshold=None if kpi is None else kpi.meets(value), best=best, difference=difference,
        relative_difference=_finite(difference / abs(base)) if difference is not None and base else None,
        better=kpi.compare(value, base) if kpi is not None and known else None,
    )  # fmt: skip


def _finite(number: Number) -> Number | None:
    return number if isfinite(number) else None

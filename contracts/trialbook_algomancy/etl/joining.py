"""Joins of tables, and columns that are added to them."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd

from trialbook_algomancy.etl.convert import filled
from trialbook_algomancy.etl.keys import NULL, Codes, codes
from trialbook_algomancy.schemas import Column

_NULLABLE = {"int64": "Int64", "bool": "boolean"}
Positions: TypeAlias = "np.ndarray[Any, np.dtype[np.int64]]"


def with_optional(table: pd.DataFrame, columns: tuple[Column, ...]) -> pd.DataFrame:
    """The table with the optional columns that it has not. Raises ``ValueError`` for a default of another type."""
    absent = [column for column in columns if column.optional and column.name not in table.columns]
    added = {column.name: filled(column.default, column.dtype, len(table)).set_axis(table.index) for column in absent}
    return table.assign(**added)


def joined(
    left: pd.DataFrame,
    right: pd.DataFrame,
    on: tuple[tuple[str, str], ...],
    how: Literal["left", "inner"],
    suffix: str,
    max_rows: int,
) -> pd.DataFrame | None:
    """The join; None if it would have more rows than that."""
    left_on, right_on = [pair[0] for pair in on], [pair[1] for pair in on]
    found = _matches(*codes((left, left_on), (right, right_on)), outer=how == "left", max_rows=max_rows)
    if found is None:
        return None
    added = right.drop(columns=right_on)
    added.columns = pd.Index([f"{c}{suffix}" if c in left.columns else c for c in added.columns])
    rows, others = found
    return pd.concat([_taken(left, rows), _taken(added, others)], axis=1)


def _matches(left: Codes, right: Codes, *, outer: bool, max_rows: int) -> tuple[Positions, Positions] | None:
    """Positions in the left and the right table of the rows of the join, -1 for none; None if there are too many."""
    order = np.argsort(right, kind="stable")
    start, end = (np.searchsorted(right, left, side, sorter=order) for side in ("left", "right"))
    counts = np.where(left == NULL, 0, end - start)
    repeats = np.maximum(counts, 1) if outer else counts
    total = int(repeats.sum())
    if total > max_rows:
        return None
    rows = np.repeat(np.arange(len(left)), repeats)
    within = np.arange(total) - np.repeat(np.cumsum(repeats) - repeats, repeats)
    others = np.full(total, -1)
    matched = counts[rows] > 0
    others[matched] = order[(start[rows] + within)[matched]]
    return rows, others


def _taken(table: pd.DataFrame, positions: Positions) -> pd.DataFrame:
    """The rows at these positions, numbered anew; missing ones where it is -1."""
    plain = table.reset_index(drop=True)
    if (positions < 0).any():
        types = {name: str(dtype) for name, dtype in plain.dtypes.items()}
        plain = plain.astype({name: _NULLABLE[dtype] for name, dtype in types.items() if dtype in _NULLABLE})
    return plain.reindex(positions).reset_index(drop=True)

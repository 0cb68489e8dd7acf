"""The transformations that a configuration can choose. Each is a value; called, it changes tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd
from msgspec import Struct

from trialbook_algomancy.etl.convert import filled
from trialbook_algomancy.etl.findings import no_columns
from trialbook_algomancy.etl.keys import NULL, Codes, codes
from trialbook_algomancy.etl.messages import Message, Severity
from trialbook_algomancy.schemas import Declared

MAX_JOINED_ROWS = 20_000_000
_NULLABLE = {"int64": "Int64", "bool": "boolean"}
Positions: TypeAlias = "np.ndarray[Any, np.dtype[np.int64]]"


class FillOptional(Struct, frozen=True):
    """Adds the optional columns that a file did not have: their default in every row, in the declared type."""

    def __call__(self, tables: dict[str, pd.DataFrame], declared: Declared) -> Iterator[Message]:
        """No messages. Raises ``ValueError`` for a default that is not of its type."""
        for name, table in tables.items():
            absent = [c for c in declared.get(name, ()) if c.optional and c.name not in table.columns]
            added = {c.name: filled(c.default, c.dtype, len(table)).set_axis(table.index) for c in absent}
            tables[name] = table.assign(**added)
        yield from ()


class Join(Struct, frozen=True):
    """Puts a join of two tables in the place of ``into`` (by default of ``left``, whose rows keep their order).

    ``on`` pairs columns of the left with columns of the right table, which are not repeated in the result; other
    columns of the right table get ``suffix`` if the left one has their name. Keys with a missing part match nothing.
    """

    left: str
    right: str
    on: tuple[tuple[str, str], ...]
    how: Literal["left", "inner"] = "left"
    into: str | None = None
    suffix: str = "_right"

    def __call__(self, tables: dict[str, pd.DataFrame], _declared: Declared) -> Iterator[Message]:
        """What is absent; CRITICAL if the join would have more than ``MAX_JOINED_ROWS`` rows."""
        left_on, right_on = [pair[0] for pair in self.on], [pair[1] for pair in self.on]
        problems = no_columns(Severity.ERROR, tables, self.left, left_on)
        problems += no_columns(Severity.ERROR, tables, self.right, right_on)
        if problems:
            yield from problems
            return
        left, right = tables[self.left], tables[self.right]
        found = _matches(*codes((left, left_on), (right, right_on)), outer=self.how == "left")
        if found is None:
            text = f"The join of {self.left} and {self.right} has more than {MAX_JOINED_ROWS} rows."
            yield Message(Severity.CRITICAL, text, self.left, code="JOIN_TOO_LARGE")
            return
        added = right.drop(columns=right_on)
        added.columns = pd.Index([f"{c}{self.suffix}" if c in left.columns else c for c in added.columns])
        rows, others = found
        parts = [_taken(left, rows), _taken(added, others)]
        tables[self.into or self.left] = pd.concat(parts, axis=1)


def _matches(left: Codes, right: Codes, *, outer: bool) -> tuple[Positions, Positions] | None:
    """Positions in the left and the right table of the rows of the join, -1 for none; None if there are too many."""
    order = np.argsort(right, kind="stable")
    start, end = (np.searchsorted(right, left, side, sorter=order) for side in ("left", "right"))
    counts = np.where(left == NULL, 0, end - start)
    repeats = np.maximum(counts, 1) if outer else counts
    total = int(repeats.sum())
    if total > MAX_JOINED_ROWS:
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

"""Joint keys of tables as numbers: two rows have the same code when they have the same key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from msgspec import Struct

from trialbook_algomancy.schemas import Column, Declared

Codes = np.ndarray[Any, np.dtype[np.int64]]
NULL = -1
"""The code of a key with a missing part."""


class Relation(Struct, frozen=True):
    """Columns of a child that point to a parent's columns, in the same order."""

    child: str
    columns: tuple[str, ...]
    parent: str
    parent_columns: tuple[str, ...]
    parent_requires_child: bool = False
    track_partial_loss: bool = False


def relations(declared: Declared) -> list[Relation]:
    """All foreign keys, one joint key for each parent.

    Columns that point to the *same* column of the parent cannot be parts of one key, so each is a relation.
    """
    found: list[Relation] = []
    for table, columns in declared.items():
        parents: dict[str, list[list[Column]]] = {}
        for column in columns:
            if column.foreign_key is not None:
                _place(parents.setdefault(column.foreign_key[0], []), column)
        found += [_relation(table, parent, part) for parent, parts in parents.items() for part in parts]
    return found


def _place(parts: list[list[Column]], column: Column) -> None:
    for part in parts:
        if all(other.foreign_key != column.foreign_key for other in part):
            part.append(column)
            return
    parts.append([column])


def _relation(child: str, parent: str, part: list[Column]) -> Relation:
    return Relation(
        child,
        tuple(column.name for column in part),
        parent,
        tuple(column.foreign_key[1] for column in part if column.foreign_key is not None),
        any(column.parent_requires_child for column in part),
        any(column.track_partial_loss for column in part),
    )


def codes(*tables: tuple[pd.DataFrame, Sequence[str]]) -> list[Codes]:
    """For each (table, columns) the code of every row's key; keys are comparable between the tables.

    A key with a missing part has the code ``NULL``. Keys are equal when their parts are: 1 and 1.0 are, 1 and "1" not.
    """
    lengths = [len(table) for table, _ in tables]
    joint = np.zeros(sum(lengths), dtype=np.int64)
    missing = np.zeros(len(joint), dtype=bool)
    for position in range(len(tables[0][1])):
        part = _factorized([table[columns[position]] for table, columns in tables])
        missing |= part < 0
        # Numbers of groups, not of rows, are multiplied, and numbered anew each time: no overflow.
        joint = pd.factorize(joint * (int(part.max(initial=0)) + 1) + np.maximum(part, 0))[0].astype(np.int64)
    joint[missing] = NULL
    return np.split(joint, np.cumsum(lengths)[:-1])


def _factorized(columns: list[pd.Series]) -> Codes:
    """Number of each cell's value over all the columns, -1 for missing ones."""
    dtypes = {column.dtype for column in columns}
    if len(dtypes) == 1 and dtypes.isdisjoint({np.dtype(object)}):
        cells = pd.concat(columns, ignore_index=True)
    else:
        cells = pd.concat([column.astype(object) for column in columns], ignore_index=True)
    try:
        found: Codes = pd.factorize(cells)[0].astype(np.int64)
    except TypeError:  # lists and objects have no hash
        found = pd.factorize(cells.map(repr, na_action="ignore"))[0].astype(np.int64)
    return found


def key_text(names: Sequence[str]) -> str:
    """Columns of a key as messages name them."""
    return f"({', '.join(names)})"


def value_text(values: Sequence[Any]) -> str:
    """One key's value: the value itself, or a tuple of a joint key."""
    return str(values[0]) if len(values) == 1 else f"({', '.join(str(value) for value in values)})"

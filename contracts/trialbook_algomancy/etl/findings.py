"""The messages that checks and transformations share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np

from trialbook_algomancy.etl.keys import NULL, Codes, Relation
from trialbook_algomancy.etl.messages import Message, Severity
from trialbook_algomancy.schemas import Tables

Flags: TypeAlias = "np.ndarray[Any, np.dtype[np.bool_]]"
MAX_ROWS_REPORTED = 10_000
"""Messages of one check about rows of one table; one more tells how many there are beyond."""


def row_messages(each: Message, flags: Flags, text: Callable[[int], str] | None = None) -> Iterator[Message]:
    """``each`` for every flagged row, with the row's number and, if given, its own text."""
    rows = np.flatnonzero(flags).tolist()
    for row in rows[:MAX_ROWS_REPORTED]:
        said = each.message if text is None else text(row)
        yield Message(each.severity, said, each.table, each.column, row, each.code)
    if len(rows) > MAX_ROWS_REPORTED:
        more = f"{len(rows) - MAX_ROWS_REPORTED} more row(s) of {each.table} with {each.code}."
        yield Message(each.severity, more, each.table, each.column, None, each.code)


def repeated(keys: Codes) -> Flags:
    """Which rows have a complete key that another row has too."""
    counts = np.bincount(keys + 1)
    flags: Flags = (keys != NULL) & (counts[keys + 1] > 1)
    return flags


def no_table(severity: Severity, table: str) -> Message:
    """A named table is absent."""
    return Message(severity, f"Table '{table}' not found.", table, code="TABLE_NOT_FOUND")


def no_columns(severity: Severity, tables: Tables, table: str, columns: Sequence[str]) -> list[Message]:
    """One message for each named column that the table has not; the table itself may be absent."""
    if table not in tables:
        return [no_table(severity, table)]
    return [
        Message(severity, f"Column '{column}' not found in {table}.", table, column, code="COLUMN_NOT_FOUND")
        for column in columns
        if column not in tables[table].columns
    ]


def absent(severity: Severity, relation: Relation, tables: Tables) -> list[Message]:
    """Why a relation cannot be looked at; empty if it can."""
    return [
        *no_columns(severity, tables, relation.child, relation.columns),
        *no_columns(severity, tables, relation.parent, relation.parent_columns),
    ]

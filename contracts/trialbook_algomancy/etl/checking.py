"""How the checks look at tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from trialbook_algomancy.etl.convert import matches
from trialbook_algomancy.etl.findings import absent, no_columns, repeated, row_messages
from trialbook_algomancy.etl.keys import NULL, Relation, codes, key_text, relations, value_text
from trialbook_algomancy.etl.messages import Message, Severity
from trialbook_algomancy.schemas import Column, Declared, Tables


def columns_match(
    unexpected: Severity, mismatch: Severity, name: str, table: pd.DataFrame, columns: Sequence[Column]
) -> Iterator[Message]:
    """Columns that are not declared, and columns of another type than declared."""
    known = {column.name: column for column in columns}
    for label in table.columns:
        if label not in known:
            text = f"Column '{label}' not in schema for {name}."
            yield Message(unexpected, text, name, label, code="UNEXPECTED_COLUMN")
        elif not matches(table[label], known[label].dtype):
            text = f"Column '{label}' has incorrect datatype for {name}."
            yield Message(mismatch, text, name, label, code="DTYPE_MISMATCH")


def primary_key(severity: Severity, name: str, table: pd.DataFrame, key: Sequence[str]) -> Iterator[Message]:
    """Missing columns of the key; otherwise rows with an incomplete key, then rows with a key that another has."""
    missing = [column for column in key if column not in table.columns]
    for column in missing:
        text = f"Primary-key column '{column}' missing from {name}."
        yield Message(severity, text, name, column, code="MISSING_PK_COLUMN")
    if not key or missing:
        return
    found = codes((table, key))[0]
    label = ", ".join(key)
    nulls = f"Null value in primary key {key_text(key)} of {name}."
    yield from row_messages(Message(severity, nulls, name, label, code="PK_NULL"), found == NULL)
    duplicates = f"Duplicate primary key value in {name}."
    yield from row_messages(Message(severity, duplicates, name, label, code="PK_DUPLICATE"), repeated(found))


Flagged = Mapping[str, Sequence[str]]


def unique(
    severity: Severity, tables: Tables, flagged: Flagged, table: str | None, columns: Sequence[str]
) -> Iterator[Message]:
    """Rows whose value another row has too."""
    yield from _unknown(severity, tables, table, columns)
    for name, column in _present(tables, flagged if table is None else {table: columns}):
        each = Message(severity, f"Duplicate value in '{name}.{column}'.", name, column, code="DUPLICATE_VALUE")
        yield from row_messages(each, repeated(codes((tables[name], [column]))[0]))


def not_null(
    severity: Severity, tables: Tables, flagged: Flagged, table: str | None, columns: Sequence[str]
) -> Iterator[Message]:
    """Rows without a value."""
    yield from _unknown(severity, tables, table, columns)
    for name, column in _present(tables, flagged if table is None else {table: columns}):
        each = Message(severity, f"Null value in '{name}.{column}'.", name, column, code="NULL_VALUE")
        yield from row_messages(each, tables[name][column].isna().to_numpy())


def _unknown(severity: Severity, tables: Tables, table: str | None, columns: Sequence[str]) -> list[Message]:
    return [] if table is None else no_columns(severity, tables, table, columns)


def _present(tables: Tables, wanted: Flagged) -> Iterator[tuple[str, str]]:
    """Those that can be looked at; absent ones have messages elsewhere, unless they are optional."""
    for name, columns in wanted.items():
        for column in columns:
            if name in tables and column in tables[name].columns:
                yield name, column


def foreign_keys(severity: Severity, tables: Tables, declared: Declared) -> Iterator[Message]:
    """Rows whose key has no parent; relations whose parent or columns are absent."""
    for relation in relations(declared):
        if relation.child in tables:
            problems = absent(severity, relation, tables)
            yield from problems or _orphans(severity, relation, tables)


def _orphans(severity: Severity, relation: Relation, tables: Tables) -> Iterator[Message]:
    child, parent = tables[relation.child], tables[relation.parent]
    key, present = codes((child, relation.columns), (parent, relation.parent_columns))
    parts = [child[column] for column in relation.columns]
    names, target = key_text(relation.columns), f"{relation.parent}.{key_text(relation.parent_columns)}"

    def text(row: int) -> str:
        value = value_text([part.iloc[row] for part in parts])
        return f"Foreign key {names}={value} in {relation.child} has no match in {target}."

    each = Message(severity, "", relation.child, ", ".join(relation.columns), code="FK_VIOLATION")
    yield from row_messages(each, (key != NULL) & ~np.isin(key, present), text)

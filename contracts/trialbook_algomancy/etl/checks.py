"""The checks that a configuration can choose. Each is a value with its severities; called, it yields messages.

A check looks at the tables by what their schemas declare. ``PrimaryKeys``, ``UniqueValues`` and ``NotNull`` can be
given a ``table`` and ``columns`` to look at instead; where these are absent, that is a message of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from msgspec import Struct

from trialbook_algomancy.etl.convert import matches
from trialbook_algomancy.etl.findings import absent, no_columns, repeated, row_messages
from trialbook_algomancy.etl.keys import NULL, Relation, codes, key_text, relations, value_text
from trialbook_algomancy.etl.messages import Message, Severity
from trialbook_algomancy.schemas import Check, Column, Declared, Tables


class NotEmpty(Struct, frozen=True):
    """Every table has rows."""

    severity: Severity = Severity.CRITICAL

    def __call__(self, tables: Tables, _declared: Declared) -> Iterator[Message]:
        """What was found."""
        for name, table in tables.items():
            if not len(table):
                text = f"Extraction of {name} returned empty DataFrame."
                yield Message(self.severity, text, name, code="EMPTY_EXTRACTION")


class RequiredColumns(Struct, frozen=True):
    """Every column that is not optional is there."""

    severity: Severity = Severity.ERROR

    def __call__(self, tables: Tables, declared: Declared) -> Iterator[Message]:
        """What was found."""
        for name, table in tables.items():
            for column in declared.get(name, ()):
                if not column.optional and column.name not in table.columns:
                    text = f"Required column '{column.name}' missing from {name}."
                    yield Message(self.severity, text, name, column.name, code="MISSING_REQUIRED_COLUMN")


class SchemaMatches(Struct, frozen=True):
    """Every table has a schema, no further columns, and the declared types."""

    no_schema: Severity = Severity.ERROR
    unexpected_column: Severity = Severity.ERROR
    dtype_mismatch: Severity = Severity.WARNING

    def __call__(self, tables: Tables, declared: Declared) -> Iterator[Message]:
        """What was found."""
        for name, table in tables.items():
            if name not in declared:
                yield Message(self.no_schema, f"No schema found for {name}.", name, code="NO_SCHEMA")
                continue
            found = list(self._columns(name, table, declared[name]))
            yield from found
            if not found:
                yield Message(Severity.INFO, f"Schema validation successful for {name}.", name)

    def _columns(self, name: str, table: pd.DataFrame, columns: Sequence[Column]) -> Iterator[Message]:
        known = {column.name: column for column in columns}
        for label in table.columns:
            if label not in known:
                text = f"Column '{label}' not in schema for {name}."
                yield Message(self.unexpected_column, text, name, label, code="UNEXPECTED_COLUMN")
            elif not matches(table[label], known[label].dtype):
                text = f"Column '{label}' has incorrect datatype for {name}."
                yield Message(self.dtype_mismatch, text, name, label, code="DTYPE_MISMATCH")


class PrimaryKeys(Struct, frozen=True):
    """Primary keys are complete and different; every row of a duplicate group is reported."""

    severity: Severity = Severity.ERROR
    table: str | None = None
    columns: tuple[str, ...] = ()

    def __call__(self, tables: Tables, declared: Declared) -> Iterator[Message]:
        """What was found."""
        if self.table is not None and self.table not in tables:
            yield from no_columns(self.severity, tables, self.table, ())
        for name, table in tables.items():
            key = [column.name for column in declared.get(name, ()) if column.primary_key]
            if self.table in {None, name}:
                yield from self._key(name, table, self.columns or key)

    def _key(self, name: str, table: pd.DataFrame, key: Sequence[str]) -> Iterator[Message]:
        missing = [column for column in key if column not in table.columns]
        for column in missing:
            text = f"Primary-key column '{column}' missing from {name}."
            yield Message(self.severity, text, name, column, code="MISSING_PK_COLUMN")
        if not key or missing:
            return
        found = codes((table, key))[0]
        label = ", ".join(key)
        nulls = f"Null value in primary key {key_text(key)} of {name}."
        yield from row_messages(Message(self.severity, nulls, name, label, code="PK_NULL"), found == NULL)
        duplicates = f"Duplicate primary key value in {name}."
        yield from row_messages(Message(self.severity, duplicates, name, label, code="PK_DUPLICATE"), repeated(found))


class UniqueValues(Struct, frozen=True):
    """Columns declared ``unique`` (or those named) hold no value twice; missing values are no values."""

    severity: Severity = Severity.ERROR
    table: str | None = None
    columns: tuple[str, ...] = ()

    def __call__(self, tables: Tables, declared: Declared) -> Iterator[Message]:
        """What was found."""
        if self.table is not None:
            yield from no_columns(self.severity, tables, self.table, self.columns)
        flagged = {name: [c.name for c in columns if c.unique] for name, columns in declared.items()}
        for name, column in _present(tables, flagged if self.table is None else {self.table: self.columns}):
            each = Message(
                self.severity, f"Duplicate value in '{name}.{column}'.", name, column, code="DUPLICATE_VALUE"
            )
            yield from row_messages(each, repeated(codes((tables[name], [column]))[0]))


class NotNull(Struct, frozen=True):
    """Columns declared not ``nullable`` (or those named) have a value in every row."""

    severity: Severity = Severity.ERROR
    table: str | None = None
    columns: tuple[str, ...] = ()

    def __call__(self, tables: Tables, declared: Declared) -> Iterator[Message]:
        """What was found."""
        if self.table is not None:
            yield from no_columns(self.severity, tables, self.table, self.columns)
        flagged = {
            name: [column.name for column in columns if not column.nullable] for name, columns in declared.items()
        }
        for name, column in _present(tables, flagged if self.table is None else {self.table: self.columns}):
            each = Message(self.severity, f"Null value in '{name}.{column}'.", name, column, code="NULL_VALUE")
            yield from row_messages(each, tables[name][column].isna().to_numpy())


def _present(tables: Tables, wanted: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, str]]:
    """Those that can be looked at; absent ones have messages elsewhere, unless they are optional."""
    for name, columns in wanted.items():
        for column in columns:
            if name in tables and column in tables[name].columns:
                yield name, column


class ForeignKeys(Struct, frozen=True):
    """Every complete foreign key has its parent row."""

    severity: Severity = Severity.ERROR

    def __call__(self, tables: Tables, declared: Declared) -> Iterator[Message]:
        """What was found."""
        for relation in relations(declared):
            if relation.child in tables:
                yield from self._relation(relation, tables)

    def _relation(self, relation: Relation, tables: Tables) -> Iterator[Message]:
        problems = absent(self.severity, relation, tables)
        if problems:
            yield from problems
            return
        child, parent = tables[relation.child], tables[relation.parent]
        key, present = codes((child, relation.columns), (parent, relation.parent_columns))
        orphans = (key != NULL) & ~np.isin(key, present)
        values = child.loc[:, list(relation.columns)]
        names, target = key_text(relation.columns), f"{relation.parent}.{key_text(relation.parent_columns)}"

        def text(row: int) -> str:
            value = value_text(values.iloc[row].tolist())
            return f"Foreign key {names}={value} in {relation.child} has no match in {target}."

        label = ", ".join(relation.columns)
        yield from row_messages(Message(self.severity, "", relation.child, label, code="FK_VIOLATION"), orphans, text)


DEFAULT: tuple[Check, ...] = (
    RequiredColumns(),
    SchemaMatches(),
    PrimaryKeys(),
)
"""What a configuration checks that does not choose."""

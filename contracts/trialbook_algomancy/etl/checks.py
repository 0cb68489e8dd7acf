"""The checks that a configuration can choose. Each is a value with its severities; called, it yields messages.

A check looks at the tables by what their schemas declare. ``PrimaryKeys``, ``UniqueValues`` and ``NotNull`` can be
given a ``table`` and ``columns`` to look at instead; where these are absent, that is a message of its own. How they
look is in ``checking``, imported when the first one is called: who only describes a configuration needs no pandas.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from trialbook_algomancy.etl.messages import Message, Severity
from trialbook_algomancy.schemas import Check, Declared, Tables


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
        from trialbook_algomancy.etl.checking import columns_match

        for name, table in tables.items():
            if name not in declared:
                yield Message(self.no_schema, f"No schema found for {name}.", name, code="NO_SCHEMA")
                continue
            found = list(columns_match(self.unexpected_column, self.dtype_mismatch, name, table, declared[name]))
            yield from found
            if not found:
                yield Message(Severity.INFO, f"Schema validation successful for {name}.", name)


class PrimaryKeys(Struct, frozen=True):
    """Primary keys are complete and different; every row of a duplicate group is reported."""

    severity: Severity = Severity.ERROR
    table: str | None = None
    columns: tuple[str, ...] = ()

    def __call__(self, tables: Tables, declared: Declared) -> Iterator[Message]:
        """What was found."""
        from trialbook_algomancy.etl.checking import primary_key
        from trialbook_algomancy.etl.findings import no_table

        if self.table is not None and self.table not in tables:
            yield no_table(self.severity, self.table)
        for name, table in tables.items():
            key = self.columns or tuple(column.name for column in declared.get(name, ()) if column.primary_key)
            if self.table in {None, name}:
                yield from primary_key(self.severity, name, table, key)


class UniqueValues(Struct, frozen=True):
    """Columns declared ``unique`` (or those named) hold no value twice; missing values are no values."""

    severity: Severity = Severity.ERROR
    table: str | None = None
    columns: tuple[str, ...] = ()

    def __call__(self, tables: Tables, declared: Declared) -> Iterator[Message]:
        """What was found."""
        from trialbook_algomancy.etl.checking import unique

        flagged = {name: [c.name for c in columns if c.unique] for name, columns in declared.items()}
        return unique(self.severity, tables, flagged, self.table, self.columns)


class NotNull(Struct, frozen=True):
    """Columns declared not ``nullable`` (or those named) have a value in every row."""

    severity: Severity = Severity.ERROR
    table: str | None = None
    columns: tuple[str, ...] = ()

    def __call__(self, tables: Tables, declared: Declared) -> Iterator[Message]:
        """What was found."""
        from trialbook_algomancy.etl.checking import not_null

        flagged = {name: [c.name for c in columns if not c.nullable] for name, columns in declared.items()}
        return not_null(self.severity, tables, flagged, self.table, self.columns)


class ForeignKeys(Struct, frozen=True):
    """Every complete foreign key has its parent row."""

    severity: Severity = Severity.ERROR

    def __call__(self, tables: Tables, declared: Declared) -> Iterator[Message]:
        """What was found."""
        from trialbook_algomancy.etl.checking import foreign_keys

        return foreign_keys(self.severity, tables, declared)


DEFAULT: tuple[Check, ...] = (RequiredColumns(), SchemaMatches(), PrimaryKeys())
"""What a configuration checks that does not choose."""

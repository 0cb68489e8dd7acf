"""What an author says about files: schemas, columns, checks and transformations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from msgspec import Struct

from trialbook_algomancy.etl.messages import Message

if TYPE_CHECKING:  # a profile can be described and validated against without it
    import pandas as pd

Dtype = Literal["string", "int64", "float64", "boolean", "datetime64[ns]", "categorical", "interval"]
Extension = Literal["csv", "json", "xlsx"]
EXTENSIONS: tuple[Extension, ...] = ("csv", "json", "xlsx")
DTYPES: tuple[Dtype, ...] = ("string", "int64", "float64", "boolean", "datetime64[ns]", "categorical", "interval")


class Column(Struct, frozen=True):
    """One column of a table.

    ``foreign_key`` names a (table, column); several columns of a table that point to different columns of one parent
    are one joint key. ``parent_requires_child`` and ``track_partial_loss`` steer ``CascadeDrop`` for that relation.
    ``default`` fills an absent ``optional`` column.
    """

    name: str
    dtype: Dtype = "string"
    optional: bool = False
    primary_key: bool = False
    default: Any = None
    nullable: bool = True
    unique: bool = False
    description: str = ""
    foreign_key: tuple[str, str] | None = None
    parent_requires_child: bool = False
    track_partial_loss: bool = False

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise ValueError(f"column {self.name!r}: unknown dtype {self.dtype!r}, there are {', '.join(DTYPES)}")


class Group(Struct, frozen=True):
    """One table of a file with several: a sheet of that name, or the objects of the nested list at ``source_path``.

    The path is dotted, from the root records (whose own group has the empty path).
    """

    name: str
    columns: tuple[Column, ...]
    source_path: str = ""


class Schema(Struct, frozen=True):
    """One file: ``columns`` for a single table named like the file, or ``groups`` for tables ``<file>.<group>``.

    ``separator`` is of csv files; ``sheet`` (name or zero-based position) of xlsx files with one table.
    """

    file_name: str
    extension: Extension
    columns: tuple[Column, ...] = ()
    groups: tuple[Group, ...] = ()
    separator: str = ";"
    sheet: str | int = 0

    def __post_init__(self) -> None:
        if self.extension not in EXTENSIONS:
            raise ValueError(f"schema {self.file_name!r}: unknown extension {self.extension!r}")
        if bool(self.columns) == bool(self.groups):
            raise ValueError(f"schema {self.file_name!r}: give either columns or groups")
        if len(self.separator) != 1:
            raise ValueError(f"schema {self.file_name!r}: the separator is one character")
        if self.groups and self.extension == "csv":
            raise ValueError(f"schema {self.file_name!r}: a csv file holds one table")
        if self.groups and self.extension == "json" and sum(not group.source_path for group in self.groups) != 1:
            raise ValueError(f"schema {self.file_name!r}: exactly one group takes the root records")
        for table, columns in self.tables().items():
            names = [column.name for column in columns]
            if len(set(names)) != len(names):
                raise ValueError(f"table {table!r}: a column is declared twice")
        if self.groups and len(self.tables()) != len(self.groups):
            raise ValueError(f"schema {self.file_name!r}: a group is declared twice")

    @property
    def kind(self) -> Literal["SINGLE", "MULTI"]:
        """Whether the file holds one table or several."""
        return "MULTI" if self.groups else "SINGLE"

    def tables(self) -> dict[str, tuple[Column, ...]]:
        """Name of each table -> its columns, in order."""
        if not self.groups:
            return {self.file_name: self.columns}
        return {f"{self.file_name}.{group.name}": group.columns for group in self.groups}


Tables: TypeAlias = "Mapping[str, pd.DataFrame]"
Declared = Mapping[str, Sequence[Column]]
"""Table name -> its columns; tables without a schema are absent."""

Check: TypeAlias = "Callable[[Tables, Declared], Iterable[Message]]"
"""Looks at converted tables; what it finds are messages."""
OwnTables: TypeAlias = "dict[str, pd.DataFrame]"
Transformer: TypeAlias = "Callable[[OwnTables, Declared], Iterable[Message]]"
"""Changes the tables in the dictionary it is given, which is the load's own copy."""


class EtlConfig(Struct, frozen=True):
    """How uploads become tables. Tables come in the order of ``schemas``.

    ``required`` names files (without extension) that must be uploaded. ``checks`` run in order on the converted
    tables; by default required columns, schema and primary keys, all at ERROR. ``transformers`` run in order after
    them, unless a message was CRITICAL.
    """

    schemas: tuple[Schema, ...]
    required: frozenset[str] = frozenset()
    checks: tuple[Check, ...] | None = None
    transformers: tuple[Transformer, ...] = ()

    def __post_init__(self) -> None:
        names = [schema.file_name for schema in self.schemas]
        if len(set(names)) != len(names):
            raise ValueError("two schemas name the same file")
        if unknown := self.required - set(names):
            raise ValueError(f"required without a schema: {', '.join(sorted(unknown))}")

    def declared(self) -> dict[str, tuple[Column, ...]]:
        """Name of each table of all schemas -> its columns."""
        return {table: columns for schema in self.schemas for table, columns in schema.tables().items()}

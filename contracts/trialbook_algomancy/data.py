"""Data sources: named tables with an identity, and their JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from trialbook_algomancy.data_document import NO_METADATA, DataClassification, Metadata, document, read_metadata
from trialbook_algomancy.data_errors import Unreadable
from trialbook_algomancy.data_tables import decode, read_tables, tables_from_json, tables_json

__all__ = ["DataClassification", "DataSource", "Metadata", "Unreadable", "tables_from_json", "tables_json"]

Tables = Mapping[str, pd.DataFrame]


@dataclass(frozen=True)
class DataSource:
    """Tables by name, in order, with what identifies them. ``creation_datetime``: see ``Metadata``."""

    id: str
    name: str
    type: DataClassification
    creation_datetime: str
    tables: Tables = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """The values of the dataset's own parameters for one scenario; not stored."""

    @classmethod
    def from_json(cls, body: bytes) -> DataSource:
        """Read a document. Raises ``Unreadable`` with the text that the client is told."""
        if not body:
            raise Unreadable("Empty request body")
        found = decode(body)
        if not isinstance(found, dict):
            raise Unreadable(NO_METADATA)
        metadata = read_metadata(found.get("metadata"), ())
        tables = read_tables(found.get("tables", {}))
        return cls(metadata.id, metadata.name, metadata.type, metadata.creation_datetime, tables)

    @classmethod
    def stored(cls, metadata: Metadata, tables_bytes: bytes) -> DataSource:
        """Read what ``metadata`` and ``tables_json`` kept apart."""
        tables = tables_from_json(tables_bytes)
        return cls(metadata.id, metadata.name, metadata.type, metadata.creation_datetime, tables)

    @property
    def metadata(self) -> Metadata:
        """Everything but the tables."""
        return Metadata(self.id, self.name, self.type, self.creation_datetime, tuple(self.tables))

    def to_json(self) -> bytes:
        """The document that ``from_json`` reads back. Raises ``ValueError`` as ``tables_json``."""
        return document(self.metadata, tables_json(self.tables))

    def derive(self, id_: str, name: str) -> DataSource:
        """A copy of its own identity with tables of its own."""
        tables = {table: frame.copy() for table, frame in self.tables.items()}
        return replace(self, id=id_, name=name, type=DataClassification.DERIVED_DATA, tables=tables)

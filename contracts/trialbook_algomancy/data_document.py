"""The outside of a data source's JSON: its metadata, and the document around tables that are bytes already.

Copies and derived data sources differ from their source in the metadata only, so tables are stored once under their
digest, and a document is put together without reading them. No pandas is needed for that.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import msgspec
from msgspec import Struct

from trialbook_algomancy.data_errors import Unreadable

NO_METADATA = "No metadata found in the JSON data"
_TEXTS = ("type", "name", "id", "creation_datetime")


class DataClassification(StrEnum):
    """Where the tables of a data source come from."""

    MASTER_DATA = "master_data"
    """Loaded by ETL."""
    DERIVED_DATA = "derived_data"
    """A copy to be worked on."""
    DUMMY_DATA = "dummy_data"
    """Made up."""


class Metadata(Struct, frozen=True):
    """Everything of a data source but its tables; ``tables`` are their names in order.

    ``creation_datetime`` is UTC as ``YYYY-MM-DD HH:MM:SS.ffffff``; whatever a client sent is kept.
    """

    id: str
    name: str
    type: DataClassification
    creation_datetime: str
    tables: tuple[str, ...] = ()


def creation_text(at: datetime) -> str:
    """``at`` in the form of ``creation_datetime``."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


def document(metadata: Metadata, tables_bytes: bytes) -> bytes:
    """The JSON of a data source from its metadata and the output of ``tables_json``."""
    return b'{"metadata":' + msgspec.json.encode(metadata) + b',"tables":' + tables_bytes + b"}"


def read_metadata(found: object, tables: tuple[str, ...]) -> Metadata:
    """The ``metadata`` member of a decoded document; ``tables`` are the names of the tables that were read.

    Raises ``Unreadable``: ``No metadata found in the JSON data``, a missing key in quotes, an unknown type.
    """
    if not isinstance(found, dict) or not found:
        raise Unreadable(NO_METADATA)
    values = {key: _member(found, key) for key in _TEXTS}
    try:
        type_ = DataClassification(values["type"])
    except ValueError as error:
        raise Unreadable(str(error)) from None
    for key in _TEXTS[1:]:
        if not isinstance(values[key], str):
            raise Unreadable(f"metadata '{key}' must be a string")
    if not values["name"]:
        raise Unreadable("metadata 'name' must be a non-empty string")
    if "\0" in values["name"]:  # no path could name it
        raise Unreadable("metadata 'name' must not contain NUL characters")
    return Metadata(values["id"], values["name"], type_, values["creation_datetime"], tables)


def _member(found: dict[str, Any], key: str) -> Any:
    try:
        return found[key]
    except KeyError as missing:
        raise Unreadable(str(missing)) from None

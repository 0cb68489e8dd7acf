"""What comes of a load."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from msgspec import Struct

from trialbook_algomancy.etl.messages import Message, Severity

if TYPE_CHECKING:  # a record is read without it
    import pandas as pd


class LoadedFile(Struct, frozen=True):
    """One upload: its sanitised name, size, and the rows of each table it gave (none without a schema)."""

    name: str
    logical_name: str
    extension: str
    size_bytes: int
    rows: dict[str, int]


class LoadRecord(Struct, frozen=True):
    """Everything of an outcome but its tables, for the record. ``counts``: severity -> number of messages."""

    dataset_name: str
    success: bool
    messages: tuple[Message, ...]
    counts: dict[str, int]
    files: tuple[LoadedFile, ...]


class EtlOutcome(Struct, frozen=True):
    """The tables of a load (none when it failed) and its record."""

    tables: dict[str, pd.DataFrame]
    record: LoadRecord

    @property
    def success(self) -> bool:
        """False if any message is CRITICAL."""
        return self.record.success

    @property
    def messages(self) -> tuple[Message, ...]:
        """All messages in the order in which they came up."""
        return self.record.messages


def counted(messages: Iterable[Message]) -> dict[str, int]:
    """Number of messages by severity; every severity is there."""
    counts = {severity.value: 0 for severity in Severity}
    for found in messages:
        counts[found.severity.value] += 1
    return counts

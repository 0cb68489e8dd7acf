"""What the readers of all formats share: limits, failures, and tables as they were read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from trialbook_algomancy.data_errors import Unreadable
from trialbook_algomancy.etl.convert import Raw

Content = Path | bytes
"""A file on disk, or one that is in memory already."""


class Limits(Struct, frozen=True):
    """Bounds on what one file may hold; beyond them it is ``Unreadable``.

    The others are of xlsx. ``unpacked_bytes``: all parts together; ``text_bytes``: the shared texts; ``part_bytes``:
    any small part, a row, or a text; ``elements``: XML elements of all small parts together, of a row, or of a text.
    """

    columns: int = 16_384
    cells: int = 50_000_000
    unpacked_bytes: int = 1 << 29
    text_bytes: int = 1 << 27
    part_bytes: int = 1 << 24
    elements: int = 400_000


class Extracted(Struct, frozen=True):
    """A table as it was read: the cells of each column, all of that length."""

    columns: dict[str, Raw]
    length: int


class ExtractionFailed(Exception):
    """A file that can be read does not hold what its schema says; the load fails with a message."""


def opened(content: Content) -> bytes:
    """All bytes of it."""
    return content.read_bytes() if isinstance(content, Path) else content


def check_size(limits: Limits, columns: int, rows: int) -> None:
    """Raise ``Unreadable`` for a table that is too large."""
    if columns > limits.columns:
        raise Unreadable(f"{columns} columns, at most {limits.columns} are read")
    if columns * rows > limits.cells:
        raise Unreadable(f"{rows} rows of {columns} columns, at most {limits.cells} cells are read")


def headings(cells: Sequence[object]) -> list[str]:
    """Different names of columns: an empty cell is ``Unnamed: <position>``, a repeated ``a`` is ``a.1``."""
    names: list[str] = []
    seen: set[str] = set()
    for position, cell in enumerate(cells):
        text = "" if cell is None else str(cell)
        plain = text or f"Unnamed: {position}"
        name, count = plain, 0
        while name in seen:
            count += 1
            name = f"{plain}.{count}"
        seen.add(name)
        names.append(name)
    return names

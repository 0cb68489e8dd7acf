"""Writing xlsx files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from io import BytesIO
from typing import Any


def workbook(sheets: Mapping[str, Iterable[Sequence[Any]]]) -> bytes:
    """An xlsx file with these sheets, in order; the rows hold text, numbers, times or None."""
    from openpyxl import Workbook

    book = Workbook(write_only=True)
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(list(row))
    target = BytesIO()
    book.save(target)
    return target.getvalue()

"""Writing xlsx files, in which text stays text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from io import BytesIO
from typing import Any

NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
MAX_CELL_CHARS = 32_767
_SPECIAL = ("=", "+", "-", "@", "\t", "\r", "#")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


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


def text_cell(sheet: Any, text: str) -> Any:
    """A text for a row of a write-only sheet that is no formula, however it begins; what XML has not becomes U+FFFD."""
    if not text.startswith(_SPECIAL):
        return NOT_IN_XML.sub("\ufffd", text)
    from openpyxl.cell import WriteOnlyCell

    cell = WriteOnlyCell(sheet, NOT_IN_XML.sub("\ufffd", text))
    cell.data_type = "s"  # openpyxl makes a formula of a text with "=" in front, an error of "#N/A"
    cell.quotePrefix = text.startswith(_FORMULA)  # so that it stays text when it is edited, too
    return cell


def sheet_of_values(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    """An xlsx file with one sheet: the column names, then rows of text, finite numbers, booleans and None."""
    from openpyxl import Workbook

    book = Workbook(write_only=True)
    sheet = book.create_sheet(title)
    sheet.append([text_cell(sheet, name) for name in columns])
    for row in rows:
        sheet.append([text_cell(sheet, v[:MAX_CELL_CHARS]) if isinstance(v, str) else v for v in row])
    target = BytesIO()
    book.save(target)
    return target.getvalue()

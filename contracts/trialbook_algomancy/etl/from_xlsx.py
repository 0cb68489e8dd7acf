"""Tables from xlsx: the values of cells, never their formulas."""

from __future__ import annotations

import io
import warnings
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any
from xml.etree.ElementTree import ParseError
from xml.parsers.expat import ExpatError
from zipfile import BadZipFile

from trialbook_algomancy.data_errors import Unreadable
from trialbook_algomancy.etl.guarded_xlsx import guarded_workbook
from trialbook_algomancy.etl.source import Content, Extracted, Limits, check_size, headings
from trialbook_algomancy.schemas import Schema

_BROKEN = (
    ArithmeticError, AssertionError, AttributeError, BadZipFile, EOFError, ExpatError, LookupError, OSError, ParseError,
    RuntimeError, TypeError, ValueError, zlib.error,
)  # fmt: skip
"""What zipfile and openpyxl raise for files that are not what they claim to be."""
_ROWS = 1_048_576
_EMPTY = (None, "")
_EXACT = 2**53


def read_xlsx(content: Content, schema: Schema, limits: Limits) -> dict[str, Extracted]:
    """The tables of the schema; the first row of a sheet is its header.

    Raises ``Unreadable`` with the reader's text, also for a missing sheet and for files beyond the limits.
    """
    try:
        # An open file, because openpyxl refuses paths that do not end in .xlsx.
        with (
            content.open("rb") if isinstance(content, Path) else io.BytesIO(content) as source,
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")  # openpyxl's, about styles and extensions that hold no values
            return _tables(source, schema, limits)
    except _BROKEN as error:
        raise Unreadable(f"{schema.file_name}.xlsx cannot be read: {error}") from None


def _tables(source: IO[bytes], schema: Schema, limits: Limits) -> dict[str, Extracted]:
    book = guarded_workbook(source, limits)
    try:
        if not schema.groups:
            return {schema.file_name: _sheet(_chosen(book, schema.sheet), limits)}
        return {
            f"{schema.file_name}.{group.name}": _sheet(_chosen(book, group.name), limits) for group in schema.groups
        }
    finally:
        book.close()


def _chosen(book: Any, sheet: str | int) -> Any:
    sheets = book.worksheets
    if isinstance(sheet, int):
        if not 0 <= sheet < len(sheets):
            raise Unreadable(f"Worksheet index {sheet} is invalid, {len(sheets)} worksheets found")
        return sheets[sheet]
    for found in sheets:
        if found.title == sheet:
            return found
    raise Unreadable(f"Worksheet named '{sheet}' not found")


def _sheet(sheet: Any, limits: Limits) -> Extracted:
    rows = list(_rows(sheet, limits))
    while rows and not rows[-1]:
        rows.pop()
    width = max(map(len, rows), default=0)
    check_size(limits, width, len(rows))
    if not rows:
        return Extracted({}, 0)
    names = headings([*rows[0], *[None] * (width - len(rows[0]))])
    body = [row if len(row) == width else (*row, *[None] * (width - len(row))) for row in rows[1:]]
    columns = zip(*body, strict=True) if body else [()] * width
    return Extracted({name: _cells(cells) for name, cells in zip(names, columns, strict=True)}, len(body))


def _rows(sheet: Any, limits: Limits) -> Iterator[tuple[Any, ...]]:
    """Rows without the empty cells at their ends, from the first that has any."""
    sheet.reset_dimensions()  # what the file says about its size is not to be trusted
    started, seen = False, 0
    for number, row in enumerate(sheet.iter_rows(values_only=True)):
        if number >= _ROWS:  # the number of a row is what the file says; openpyxl makes empty ones up to it
            raise Unreadable(f"a sheet has more than {_ROWS} rows")
        end = len(row)
        while end and row[end - 1] in _EMPTY:
            end -= 1
        if not started and not end:
            continue
        started = True
        seen += end
        if seen > limits.cells:
            raise Unreadable(f"a sheet has more than {limits.cells} cells")
        yield row[:end]


def _cells(values: Sequence[Any]) -> list[Any]:
    """The cells of a column; the number 10 is 10, however the file writes it, and an empty text is no value."""
    kinds = set(map(type, values))
    if float in kinds:
        return [int(value) if _is_whole(value) else None if value == "" else value for value in values]
    return [None if value == "" else value for value in values] if str in kinds else list(values)


def _is_whole(value: object) -> bool:
    return isinstance(value, float) and value.is_integer() and abs(value) < _EXACT

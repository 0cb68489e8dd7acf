"""Tables as files for other programs: xlsx and Parquet."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from math import isfinite
from typing import Any
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from openpyxl import Workbook

from trialbook_algomancy.data_columns import cells
from trialbook_algomancy.workbooks import MAX_CELL_CHARS, NOT_IN_XML, text_cell

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
MAX_SHEET_ROWS = 1_048_576
MAX_SHEET_COLUMNS = 16_384
_SHEET_NAME_CHARS = 31
_FIRST_YEAR = 1901  # xlsx counts days from 1900, whose February is one day too long there
_EXACT = 2**53
_NOT_IN_NAMES = re.compile(r"[\[\]:*?/\\\x00-\x1f]")


def xlsx(tables: Mapping[str, pd.DataFrame]) -> bytes:
    """A workbook with a sheet per table, the column names first.

    Text is text: a cell that begins like a formula is none. Numbers beyond the precision of xlsx, times before 1901 or
    with an offset, lists and objects are written as text; characters that XML has not become U+FFFD.
    Raises ``ValueError`` for a table or a text that is larger than xlsx allows.
    """
    for name, table in tables.items():
        _check(name, table)
    book = Workbook(write_only=True)
    for name, title in zip(tables, _titles(tables, _SHEET_NAME_CHARS), strict=True):
        table = tables[name]
        sheet = book.create_sheet(title)
        sheet.append([_cell(sheet, str(label)) for label in table.columns])
        for row in zip(*(_values(table.iloc[:, at]) for at in range(len(table.columns))), strict=True):
            sheet.append([_cell(sheet, value) for value in row])
    if not tables:
        book.create_sheet("empty")
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def _check(name: str, table: pd.DataFrame) -> None:
    """Before anything is written: openpyxl leaves temporary files behind when it is interrupted."""
    if len(table) >= MAX_SHEET_ROWS or len(table.columns) > MAX_SHEET_COLUMNS:
        raise ValueError(f"table '{name}' is larger than a sheet of xlsx can be")
    for at, dtype in enumerate(table.dtypes):
        if dtype.kind == "O":
            longest = max((len(_text(value)) for value in cells(table.iloc[:, at]) if value is not None), default=0)
            if longest > MAX_CELL_CHARS:
                raise ValueError(
                    f"a text of {longest} characters in table '{name}' is longer than a cell of xlsx can be"
                )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _titles(names: Mapping[str, Any], limit: int) -> Iterator[str]:
    """Names without the characters that sheets and files cannot have, different also when case is ignored."""
    seen: set[str] = set()
    for name in names:
        base = NOT_IN_XML.sub("\ufffd", _NOT_IN_NAMES.sub("_", name)).strip("' ") or "_"
        title, count = base[:limit], 0
        while title.casefold() in seen:
            count += 1
            title = f"{base[: limit - 8]} ({count})"
        seen.add(title.casefold())
        yield title


def _values(column: pd.Series) -> list[Any]:
    if column.dtype.kind == "M" and not isinstance(column.dtype, pd.DatetimeTZDtype):
        texts = cells(column)
        times = [text and datetime.fromisoformat(text[:26]) for text in texts]
        return [time if time and time.year >= _FIRST_YEAR else text for time, text in zip(times, texts, strict=True)]
    return cells(column)


def _cell(sheet: Any, value: Any) -> Any:
    if isinstance(value, str):
        return text_cell(sheet, value)
    if isinstance(value, float) and not isfinite(value):
        return None
    if isinstance(value, list | dict):
        return text_cell(sheet, _text(value))
    if isinstance(value, int) and abs(value) > _EXACT:
        return text_cell(sheet, str(value))
    return value


def parquet(table: pd.DataFrame) -> bytes:
    """The table as a Parquet file; columns of mixed cells become JSON texts.

    Raises ``ValueError`` for a column name that the table has twice.
    """
    names = [str(label) for label in table.columns]
    if len(set(names)) != len(names):
        raise ValueError("two columns of the same name")
    arrays = [_array(table.iloc[:, at]) for at in range(len(names))]
    out = io.BytesIO()
    pq.write_table(pa.Table.from_arrays(arrays, names=names), out, compression="zstd")
    return out.getvalue()


def _array(column: pd.Series) -> pa.Array:
    dtype = column.dtype
    if isinstance(dtype, pd.StringDtype):
        return pa.array(cells(column), pa.large_string())
    if dtype.kind == "O" and not isinstance(dtype, pd.CategoricalDtype):
        texts = [None if value is None else _text(value) for value in cells(column)]
        return pa.array(texts, pa.large_string())
    return pa.array(column, from_pandas=True)


def csv_text(table: pd.DataFrame) -> bytes:
    """The table as csv with commas: a header, empty cells for missing values, times in ISO 8601, lists as JSON."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([str(label) for label in table.columns])
    columns = (cells(table.iloc[:, at]) for at in range(len(table.columns)))
    for row in zip(*columns, strict=True):
        writer.writerow(["" if value is None else _plain(value) for value in row])
    return out.getvalue().encode("utf-8", "replace")


def _plain(value: Any) -> str:
    return repr(value) if isinstance(value, float) else _text(value)


def exported(tables: Mapping[str, pd.DataFrame], form: str, *, single: bool) -> tuple[bytes, str, str]:
    """Tables as ``csv``, ``parquet`` or ``xlsx``: the bytes, the file's extension and its media type.

    Several tables of csv and Parquet come in a ZIP, also when there happens to be one; ``single`` gives its bare file.
    Raises ``ValueError`` for what the format cannot hold.
    """
    if form == "xlsx":
        return xlsx(tables), "xlsx", XLSX
    write, media_type = (csv_text, "text/csv") if form == "csv" else (parquet, "application/vnd.apache.parquet")
    if single:
        return write(next(iter(tables.values()))), form, media_type
    return _archive(tables, write, form), f"{form}.zip", "application/zip"


def parquet_archive(tables: Mapping[str, pd.DataFrame]) -> bytes:
    """A zip with ``<table>.parquet`` for each table; equal tables give equal bytes."""
    return _archive(tables, parquet, "parquet")


def _archive(tables: Mapping[str, pd.DataFrame], write: Callable[[pd.DataFrame], bytes], extension: str) -> bytes:
    out = io.BytesIO()
    with ZipFile(out, "w", ZIP_DEFLATED if extension == "csv" else ZIP_STORED) as archive:
        for title, table in zip(_titles(tables, 200), tables.values(), strict=True):
            archive.writestr(ZipInfo(f"{title}.{extension}"), write(table), archive.compression)
    return out.getvalue()

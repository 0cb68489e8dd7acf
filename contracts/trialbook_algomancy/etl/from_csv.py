"""Tables from csv."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from trialbook_algomancy.data_columns import TEXT
from trialbook_algomancy.data_errors import Unreadable
from trialbook_algomancy.etl.convert import Raw
from trialbook_algomancy.etl.source import Content, Extracted, Limits, check_size
from trialbook_algomancy.schemas import Schema

_CHUNK_BYTES = 1 << 20
_FITTING = {"int64": "i", "float64": "iuf", "boolean": "b"}
"""Declared type -> the kinds of numpy types that the parser may have inferred for it without losing anything."""


def read_csv(content: Content, schema: Schema, limits: Limits) -> dict[str, Extracted]:
    """The table of the file; its first line is the header. Raises ``Unreadable`` with the parser's text.

    The parser infers types, which is several times faster than reading text. Columns whose inferred type could have
    lost something (leading zeros, large integers beside empty cells) are read once more, as text.
    """
    _check_cells(content, schema.separator.encode(), limits)
    table, names = _table(content, schema.separator)
    declared = {column.name: column.dtype for column in schema.columns}
    columns = {name: _without_loss(table[name], declared.get(name, "string")) for name in table.columns}
    again = [at for at, cells in enumerate(columns.values()) if cells is None]
    # pandas cannot choose columns of rows that are longer than the header.
    chosen = again if len(names) == len(columns) else None
    texts = _parsed(content, schema.separator, names, usecols=chosen, dtype=TEXT) if again else table
    read: dict[str, Raw] = {name: texts[name] if cells is None else cells for name, cells in columns.items()}
    return {schema.file_name: Extracted(read, len(table))}


def _check_cells(content: Content, separator: bytes, limits: Limits) -> None:
    """Bound the table before it is read. Separators in quotes count too, which errs on the safe side."""
    cells, columns, in_header = 0, 1, True
    for chunk in _chunks(content):
        cells += chunk.count(separator) + chunk.count(b"\n") + chunk.count(b"\r")
        if in_header:
            header, _, rest = chunk.partition(b"\n")
            columns += header.count(separator)
            in_header = not rest
        check_size(limits, columns, 0)
        check_size(limits, 1, cells)


def _chunks(content: Content) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    with content.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk


def _table(content: Content, separator: str) -> tuple[pd.DataFrame, list[str]]:
    """The table with inferred types, and the names of all cells of a row: separators at its end make no column."""
    table = _parsed(content, separator)
    header = list(table.columns)
    if isinstance(table.index, pd.RangeIndex):
        return table, header
    # Rows are longer than the header: pandas has taken their first cells for row labels.
    beyond = [f"Unnamed: {len(header) + at}" for at in range(table.index.nlevels)]
    table = _parsed(content, separator, header + beyond)
    if not table[beyond].isna().all(axis=None):
        raise Unreadable(f"Rows have {len(header) + len(beyond)} cells, the header has {len(header)}.")
    return table[header], header + beyond


def _parsed(content: Content, separator: str, names: list[str] | None = None, **options: Any) -> pd.DataFrame:
    """``names`` replace the header."""
    source = content if isinstance(content, Path) else io.BytesIO(content)
    try:
        return pd.read_csv(
            source,
            sep=separator,
            header=0,
            **({} if names is None else {"names": names}),
            keep_default_na=False,
            na_values=[""],
            low_memory=False,  # types are inferred from whole columns
            **options,
        )
    except (ValueError, OverflowError) as error:  # EmptyDataError, ParserError and UnicodeDecodeError are ValueErrors
        raise Unreadable(str(error).strip()) from None


def _without_loss(column: pd.Series, dtype: str) -> pd.Series | None:
    """The column as text or of its declared type; None if the type that was inferred is neither."""
    if isinstance(column.dtype, pd.StringDtype) or column.isna().all():
        return column.astype(TEXT)
    if column.dtype.kind not in _FITTING.get(dtype, ""):
        return None
    if dtype == "float64":
        floats = column.astype("float64")
        return None if np.isinf(floats).any() else floats
    return column.astype(dtype)

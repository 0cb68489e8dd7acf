"""Tables from csv."""

from __future__ import annotations

import csv
import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from trialbook_algomancy.data_columns import TEXT
from trialbook_algomancy.data_errors import Unreadable
from trialbook_algomancy.etl.convert import Raw
from trialbook_algomancy.etl.source import Content, Extracted, Limits, check_size, headings
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
    header, beyond = _names(content, schema.separator)
    names = header + beyond
    table = _parsed(content, schema.separator, names)
    if beyond and not table[beyond].isna().all(axis=None):
        raise Unreadable(f"Rows have {len(names)} cells, the header has {len(header)}.")
    declared = {column.name: column.dtype for column in schema.columns}
    columns = {name: _without_loss(table[name], declared.get(name, "string")) for name in header}
    again = [at for at, cells in enumerate(columns.values()) if cells is None]
    texts = _parsed(content, schema.separator, names, usecols=again, dtype=TEXT) if again else table
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


def _names(content: Content, separator: str) -> tuple[list[str], list[str]]:
    """The names in the header, and names for the cells that the first row has beyond: separators that end every line.

    pandas would take the first cells of such rows for row labels, and does not tell.
    """
    source = content.open("rb") if isinstance(content, Path) else io.BytesIO(content)
    with source, io.TextIOWrapper(source, "utf-8-sig", newline="") as text:
        records = filter(_says_something, csv.reader(text, delimiter=separator))
        try:
            header, first = next(records, None), next(records, [])
        except (csv.Error, UnicodeDecodeError) as error:
            raise Unreadable(str(error)) from None
    if header is None:
        raise Unreadable("No columns to parse from file")
    names = headings([*header, *[None] * (len(first) - len(header))])
    return names[: len(header)], names[len(header) :]


def _says_something(record: list[str]) -> bool:
    """False for lines without a separator that are empty or blank: pandas leaves them out."""
    return len(record) > 1 or any(cell.strip(" \t") for cell in record)


def _parsed(content: Content, separator: str, names: list[str], **options: Any) -> pd.DataFrame:
    source = content if isinstance(content, Path) else io.BytesIO(content)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # cells that it would leave out
            return pd.read_csv(
                source,
                sep=separator,
                header=0,
                names=names,
                index_col=False,
                keep_default_na=False,
                na_values=[""],
                low_memory=False,  # types are inferred from whole columns
                **options,
            )
    except (
        ValueError,
        OverflowError,
        pd.errors.ParserWarning,
    ) as error:  # EmptyDataError, ParserError and UnicodeDecodeError are ValueErrors
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

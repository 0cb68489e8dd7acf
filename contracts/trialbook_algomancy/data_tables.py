"""Tables and their JSON, apart from the metadata around them.

A table is ``{data: [row objects], columns, dtypes, index}``. Equal tables give equal bytes, so that these can be kept
under their digest. Rows are written some thousands at a time: 100,000 rows of 10 columns take a quarter of a second.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import pandas as pd

from trialbook_algomancy.data_columns import cells, plain, restore, wire_dtype
from trialbook_algomancy.data_errors import Unreadable

_ROWS = 5_000
"""Rows that are Python objects at the same time while a table is written."""
_encoder = msgspec.json.Encoder(enc_hook=plain)


def tables_json(tables: Mapping[str, pd.DataFrame]) -> bytes:
    """The ``tables`` member of a document.

    Raises ``ValueError`` for a column name that a table has twice, text that is no Unicode (lone surrogates), and
    cells that are nested too deeply.
    """
    try:
        return _tables_json(tables)
    except RecursionError:
        raise ValueError("a cell is nested too deeply for JSON") from None


def _tables_json(tables: Mapping[str, pd.DataFrame]) -> bytes:
    out = bytearray(b"{")
    for name, table in tables.items():
        out += b"," if len(out) > 1 else b""
        out += _encoder.encode(str(name)) + b":"
        for part in _table_json(str(name), table):
            out += part
    out += b"}"
    return bytes(out)


def _table_json(name: str, table: pd.DataFrame) -> Iterator[bytes]:
    labels = [str(label) for label in table.columns]
    if len(set(labels)) != len(labels):
        raise ValueError(f"table '{name}' has two columns of the same name")
    yield b'{"data":['
    for start in range(0, len(table), _ROWS):
        part = table.iloc[start : start + _ROWS]
        rows = zip(*(cells(part.iloc[:, at]) for at in range(len(labels))), strict=True) if labels else [()] * len(part)
        encoded = _encoder.encode([dict(zip(labels, row, strict=True)) for row in rows])
        yield (b"," if start else b"") + encoded[1:-1]
    dtypes = {label: wire_dtype(table.iloc[:, at]) for at, label in enumerate(labels)}
    rest = {"columns": labels, "dtypes": dtypes, "index": _labels(table.index)}
    yield b"]," + _encoder.encode(rest)[1:]


def _labels(index: pd.Index) -> list[Any]:
    if isinstance(index, pd.RangeIndex):
        return list(index)
    if isinstance(index, pd.MultiIndex):
        return [plain(label) for label in index]
    return cells(index.to_series())


def tables_from_json(tables_bytes: bytes) -> dict[str, pd.DataFrame]:
    """The tables of ``tables_json``. Raises ``Unreadable``."""
    return read_tables(decode(tables_bytes))


def decode(body: bytes) -> Any:
    """Any JSON. Raises ``Unreadable`` with the text of Python's own decoder or parser."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # Not only for its texts: it also reads NaN, numbers out of range and escaped lone surrogates.
        return _decode_slowly(body)


def _decode_slowly(body: bytes) -> Any:
    try:
        found = json.loads(body.decode())
        json.dumps(found, ensure_ascii=False).encode()  # refuses lone surrogates, which nothing could store
        return found
    except RecursionError:
        raise Unreadable("JSON is nested too deeply") from None
    except ValueError as error:  # JSONDecodeError and UnicodeDecodeError
        raise Unreadable(str(error)) from None


def read_tables(found: object) -> dict[str, pd.DataFrame]:
    """Tables from the decoded ``tables`` member. Raises ``Unreadable`` where its parts contradict each other."""
    if not isinstance(found, dict):
        raise Unreadable("'tables' must be an object")
    return {name: _read_table(name, table) for name, table in found.items()}


def _read_table(name: str, found: object) -> pd.DataFrame:
    if not isinstance(found, dict):
        raise Unreadable(f"table '{name}' must be an object")
    rows, columns, labels = (_listed(name, found, key) for key in ("data", "columns", "index"))
    dtypes = found.get("dtypes") or {}
    if not isinstance(dtypes, dict):
        raise Unreadable(f"'dtypes' of table '{name}' must be an object")
    if not all(isinstance(column, str) for column in columns) or len(set(columns)) != len(columns):
        raise Unreadable(f"'columns' of table '{name}' must be different strings")
    if len(labels) != len(rows):
        raise Unreadable(f"table '{name}' has {len(rows)} rows in 'data' but {len(labels)} labels in 'index'")
    _check_rows(name, rows, set(columns))
    index = _index(name, labels)
    try:
        data = {column: _restored([row[column] for row in rows], dtypes.get(column)) for column in columns}
        table = pd.DataFrame(data, columns=pd.Index(columns, dtype="str"))
    except UnicodeEncodeError as error:  # a lone surrogate is no text
        raise Unreadable(str(error)) from None
    except RecursionError:
        raise Unreadable(f"a cell of table '{name}' is nested too deeply") from None
    table.index = index
    return table


def _listed(name: str, found: dict[str, Any], key: str) -> list[Any]:
    if key not in found:
        raise Unreadable(repr(key))
    if not isinstance(found[key], list):
        raise Unreadable(f"'{key}' of table '{name}' must be a list")
    values: list[Any] = found[key]
    return values


def _check_rows(name: str, rows: list[Any], columns: set[str]) -> None:
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            raise Unreadable(f"row {number} of table '{name}' must be an object")
        if len(row) != len(columns) or row.keys() != columns:
            odd = min(row.keys() ^ columns)
            raise Unreadable(f"row {number} of table '{name}' contradicts 'columns': '{odd}'")


def _index(name: str, labels: list[Any]) -> pd.Index:
    if labels == (plain_range := list(range(len(labels)))) and bool not in set(map(type, labels)):
        return pd.RangeIndex(len(plain_range))
    parts = [label if isinstance(label, list) else [label] for label in labels]
    levels = {len(part) for part in parts}
    if len(levels) != 1 or len({type(label) is list for label in labels}) > 1 or levels == {0}:
        raise Unreadable(f"the labels in 'index' of table '{name}' are of different kinds")
    if any(isinstance(part, list | dict) for label in parts for part in label):
        raise Unreadable(f"a label in 'index' of table '{name}' is no text and no number")
    if isinstance(labels[0], list):
        return pd.MultiIndex.from_tuples([tuple(label) for label in labels])
    return pd.Index(restore(labels, None))


def _restored(values: list[Any], dtype: object) -> pd.Series:
    return restore(values, dtype if isinstance(dtype, str) else None)

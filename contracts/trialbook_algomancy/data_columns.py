"""Columns and their JSON cells: which cells a column is written as, and which column a list of cells makes.

Wire names are pandas' own, except that every text column is ``string``. What JSON cannot say is lost: infinities (as
missing values are, they are null), the categories that no row uses, and times inside of ``object`` columns, which
come back as text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from datetime import date, datetime
from decimal import Decimal
from math import isnan
from typing import Any

import numpy as np
import pandas as pd

from trialbook_algomancy.data_times import iso_texts, parse_times

_PLAIN = frozenset({str, int, float, bool, type(None)})
_NESTED = frozenset({list, dict})
_INTEGER = re.compile(r"(u?)int(8|16|32|64)?", re.IGNORECASE)
_FLOAT = re.compile(r"(float)(16|32|64)|(Float)(32|64)")
_INTERVAL = re.compile(r"([\[(])\s*([^,\s]+)\s*,\s*([^,\s]+)\s*([\])])")
_CLOSED = {"[]": "both", "[)": "left", "(]": "right", "()": "neither"}
_NUMBERS = frozenset({int, float, type(None)})
TEXT = pd.StringDtype()
"""The type of text columns: missing cells are ``pd.NA``."""


def wire_dtype(column: pd.Series) -> str:
    """The name of the column's type in a document."""
    return "string" if isinstance(column.dtype, pd.StringDtype) else str(column.dtype)


def cells(column: pd.Series) -> list[Any]:
    """The cells as JSON values: missing values are None (or NaN, which JSON writes as null), times ISO texts."""
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        values = [*cells(pd.Series(dtype.categories)), None]
        return [values[code] for code in column.cat.codes.tolist()]
    if isinstance(dtype, pd.DatetimeTZDtype) or dtype.kind == "M":
        return iso_texts(column)
    if dtype.kind == "m":
        return [None if value is pd.NaT else value.isoformat() for value in column]
    if isinstance(dtype, np.dtype) and dtype.kind in "biuf":
        return list(column.tolist())
    values = column.array.to_numpy(dtype=object, na_value=None).tolist() if _masked(dtype) else column.tolist()
    return values if set(map(type, values)) <= _PLAIN else [plain(value) for value in values]


def _masked(dtype: Any) -> bool:
    return isinstance(dtype, pd.StringDtype) or getattr(dtype, "na_value", None) is pd.NA


def plain(value: Any) -> Any:
    """A cell of an ``object`` column, or a value inside of one, as JSON has it; what it does not know becomes text."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return [plain(item) for item in sorted(value, key=repr)]
    if value is pd.NaT or value is pd.NA:
        return None
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, datetime | date):
        return value.isoformat()
    return float(value) if isinstance(value, Decimal) and not value.is_finite() else str(value)


def infer(values: list[Any]) -> pd.Series:
    """The column that cells without a declared type make: numbers keep their type, nulls do not change it."""
    kinds = set(map(type, values))
    known = kinds - {type(None)}
    if not known or known & _NESTED or len(known - {int, float}) > (known == {str}) + (known == {bool}):
        return _objects(values)
    if known == {str}:
        return pd.Series(pd.array(values, dtype=TEXT))
    if known == {bool}:
        return pd.Series(values, dtype="boolean" if None in values else "bool")
    name = "float64" if float in known else "int64"
    return restore(values, name, otherwise=_objects)


def _objects(values: list[Any]) -> pd.Series:
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return pd.Series(column, dtype=object)


def restore(values: list[Any], name: str | None, otherwise: Callable[[list[Any]], pd.Series] = infer) -> pd.Series:
    """The column of these cells and of the type that a document names; what cannot be cast stays as it is."""
    if name is None:
        return otherwise(values)
    # Each of these is what a cast of cells that do not fit raises; LookupError is an unknown time zone's.
    with suppress(ValueError, TypeError, OverflowError, LookupError):
        return _restored(values, name, set(map(type, values)))
    return otherwise(values)


def _restored(values: list[Any], name: str, kinds: set[type]) -> pd.Series:
    if "datetime" in name:
        return parse_times(values, name)
    if name == "category":
        return infer(values).astype("category")
    if found := _INTEGER.fullmatch(name):
        return _integers(values, name, found, kinds)
    if found := _FLOAT.fullmatch(name):
        return pd.Series(_floats(values, kinds), dtype=name)
    if name in {"string", "str"}:
        return pd.Series(pd.array([text_of(value) for value in values] if kinds - {str, type(None)} else values, TEXT))
    if name in {"bool", "boolean"}:
        return _booleans(values, name, kinds)
    if name == "object":
        return _objects(values)
    if name.startswith("interval"):
        return intervals(values)
    if name.startswith("timedelta64"):
        return pd.Series(pd.to_timedelta(pd.Series(values, dtype=object))).astype(name)
    raise ValueError(f"no type {name!r}")


def text_of(value: Any) -> str | None:
    """A cell in a text column: lists and objects as Python writes them, missing values as None."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, float) and isnan(value):
        return None
    return str(value)


def _integers(values: list[Any], name: str, found: re.Match[str], kinds: set[type]) -> pd.Series:
    numbers = values if kinds <= {int, type(None)} else [_integer(value) for value in values]
    if not numbers:
        return pd.Series([], dtype=name)
    if None not in numbers and name.islower():
        return pd.Series(np.array(numbers, dtype=name))
    nullable = f"{'U' if found[1] else ''}Int{found[2] or 64}"
    mask = np.array([number is None for number in numbers])
    width = np.array([number or 0 for number in numbers], dtype=nullable.lower())
    return pd.Series(pd.arrays.IntegerArray(width, mask))


def _integer(value: Any) -> int | None:
    if value is None or (isinstance(value, float) and isnan(value)):
        return None
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        raise ValueError("no integer")
    return int(value)


def _floats(values: list[Any], kinds: set[type]) -> np.ndarray[Any, Any]:
    if not kinds <= _NUMBERS:
        values = [np.nan if value is None else float(value) for value in values]
    return np.array(values, dtype=np.float64)


def _booleans(values: list[Any], name: str, kinds: set[type]) -> pd.Series:
    if not kinds <= {bool, type(None)} or (name == "bool" and type(None) in kinds):
        raise ValueError("no booleans")
    return pd.Series(pd.array(values, dtype="boolean") if name == "boolean" else np.array(values, dtype=bool))


def intervals(values: list[Any]) -> pd.Series:
    """The column of intervals of numbers written like ``(0, 1]``. Raises ``ValueError`` for anything else."""
    found = [None if value is None else _INTERVAL.fullmatch(str(value)) for value in values]
    wrong = [value for value, match in zip(values, found, strict=True) if match is None and value is not None]
    closed = {match[1] + match[4] for match in found if match is not None}
    if wrong or len(closed) > 1:
        raise ValueError(f"'{wrong[0]}' is no interval" if wrong else "intervals are closed on different sides")
    for match in found:
        if match is not None and _bound(match[2]) > _bound(match[3]):
            raise ValueError(f"'{match[0]}' ends before it begins")
    bounds = [infer([_bound(match[at]) if match else None for match in found]) for at in (2, 3)]
    left, right = (bound.astype("float64") if bound.hasnans or not len(bound) else bound for bound in bounds)
    return pd.Series(pd.arrays.IntervalArray.from_arrays(left, right, closed=_CLOSED[next(iter(closed), "(]")]))


def _bound(text: str) -> int | float:
    return int(text) if text.lstrip("+-").isdecimal() else float(text)

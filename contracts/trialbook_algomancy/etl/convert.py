"""Conversion of columns as they were read to the types that their schema declares.

A column converts as a whole or not at all. Rows are never dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from trialbook_algomancy.data_columns import TEXT, infer, intervals, restore, text_of
from trialbook_algomancy.data_times import DATE_FORMATS, ISO, TIME_FORMATS, in_utc, parse_times
from trialbook_algomancy.etl.messages import Message, Severity
from trialbook_algomancy.schemas import Column, Dtype

Raw: TypeAlias = pd.Series | list[Any]
"""Cells as a file has them: Python values, or from csv a text column, or one that already has its declared type."""

_NUMBER = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_INTEGER = r"[+-]?[0-9]+"
_GROUPED = r"[+-]?[0-9]{1,3}(?:,[0-9]{2,3})*,[0-9]{3}(?:\.[0-9]*)?|" + _NUMBER
_MISSING = frozenset({
    "", "#N/A", "#N/A N/A", "#NA", "-NaN", "-nan", "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null",
})  # fmt: skip
"""Texts that mean a missing value in columns that are not text."""
_TRUE = ("true", "yes", "y", "1", "t")
_FALSE = ("false", "no", "n", "0", "f")
_NONE = type(None)


class _Failed(Exception):
    """Why a column does not convert, and the first row that shows it."""

    def __init__(self, reason: str, row: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.row = row


def converted(
    table: str, raw: Mapping[str, Raw], columns: tuple[Column, ...], length: int, messages: list[Message]
) -> pd.DataFrame:
    """The table of these cells; columns that do not convert stay as read and have a message."""
    declared = {column.name: column.dtype for column in columns}
    data = {}
    for name, cells in raw.items():
        try:
            data[name] = convert(cells, declared[name]) if name in declared else as_read(cells)
        except _Failed as failed:
            text = f"Could not convert column '{name}' to {declared[name]}: {failed.reason}"
            messages.append(Message(Severity.ERROR, text, table, name, failed.row, "CONVERSION_FAILED"))
            data[name] = as_read(cells)
    return pd.DataFrame(data, index=pd.RangeIndex(length))


def matches(column: pd.Series, dtype: Dtype) -> bool:
    """Whether the column has that type; integers with missing values are ``Int64``."""
    found = column.dtype
    if dtype == "string":
        return isinstance(found, pd.StringDtype)
    if dtype == "categorical":
        return isinstance(found, pd.CategoricalDtype)
    if dtype == "interval":
        return isinstance(found, pd.IntervalDtype)
    return str(found) in {dtype, "Int64" if dtype == "int64" else dtype, "bool" if dtype == "boolean" else dtype}


def as_read(cells: Raw) -> pd.Series:
    """The column without conversion: the type that all cells have in common."""
    if isinstance(cells, pd.Series):
        return cells
    kinds = set(map(type, cells)) - {_NONE}
    if kinds and all(issubclass(kind, datetime) for kind in kinds):
        return parse_times([value and value.isoformat() for value in cells], "datetime64[ns]")
    return infer(cells)


def convert(cells: Raw, dtype: Dtype) -> pd.Series:
    """The cells as a column of that type. Raises ``_Failed``."""
    if isinstance(cells, pd.Series):
        return cells if matches(cells, dtype) else _FROM_TEXT[dtype](cells)
    kinds = set(map(type, cells)) - {_NONE}
    if dtype == "int64" and kinds == {int, float}:  # written 1 and 1.0
        cells = [int(value) if isinstance(value, float) and value.is_integer() else value for value in cells]
        kinds = set(map(type, cells)) - {_NONE}
    if dtype in _NATIVE and kinds <= _NATIVE[dtype]:
        return restore(cells, dtype, otherwise=_out_of_range)
    return _FROM_TEXT[dtype](_texts(cells))


_NATIVE: Mapping[str, set[type]] = {"int64": {int}, "float64": {int, float}, "boolean": {bool}, "string": {str}}


def _out_of_range(_cells: list[Any]) -> pd.Series:
    raise _Failed("a value is out of range")


def _texts(cells: list[Any]) -> pd.Series:
    texts = [value.isoformat(" ") if isinstance(value, datetime) else text_of(value) for value in cells]
    return pd.Series(pd.array(texts, dtype=TEXT))


def _string(texts: pd.Series) -> pd.Series:
    return texts.astype(TEXT)


def _category(texts: pd.Series) -> pd.Series:
    return texts.astype(TEXT).astype("category")


def _present(texts: pd.Series) -> pd.Series:
    """Without the blanks around, and with missing values for the texts that mean them."""
    stripped = texts.str.strip()
    return stripped.mask(stripped.isin(_MISSING))


def _all(texts: pd.Series, pattern: str) -> bool:
    return bool(texts.str.fullmatch(pattern).fillna(value=True).all())


def _number_texts(texts: pd.Series) -> Iterator[pd.Series]:
    """The readings of a column of numbers, in the order in which they are tried."""
    if _all(texts, _NUMBER):
        yield texts
        return
    pointed = texts.str.replace(",", ".", regex=False)
    if _all(pointed, _NUMBER):
        yield pointed
    if _all(texts, _GROUPED):
        yield texts.str.replace(",", "", regex=False)


def _not_a_number(texts: pd.Series) -> _Failed:
    readable = texts.str.fullmatch(_GROUPED).fillna(value=True) | texts.str.fullmatch(_NUMBER.replace(r"\.", "[.,]"))
    odd = ~readable.fillna(value=True).astype(bool).to_numpy()
    if not odd.any():
        return _Failed("numbers are written in different ways")
    row = int(np.flatnonzero(odd)[0])
    return _Failed(f"'{texts.iloc[row]}' is no number", row)


def _float(texts: pd.Series) -> pd.Series:
    present = _present(texts)
    for reading in _number_texts(present):
        numbers = reading.to_numpy(dtype=object, na_value=np.nan).astype(np.float64)
        beyond = np.isinf(numbers)
        if beyond.any():
            row = int(np.flatnonzero(beyond)[0])
            raise _Failed(f"'{texts.iloc[row]}' is out of range", row)
        return pd.Series(numbers)
    raise _not_a_number(present)


def _int(texts: pd.Series) -> pd.Series:
    present = _present(texts)
    if _all(present, _INTEGER):
        return _int_column([int(text) for text in present.to_numpy(dtype=object, na_value="0")], present)
    fraction: _Failed | None = None
    for reading in _number_texts(present):
        numbers = reading.to_numpy(dtype=object, na_value="0").astype(np.float64)
        broken = np.isfinite(numbers) & (numbers != np.floor(numbers))
        if not broken.any():
            return _int_column(_whole(numbers, texts), present)
        row = int(np.flatnonzero(broken)[0])
        fraction = fraction or _Failed(f"'{texts.iloc[row]}' has a fraction", row)
    raise fraction or _not_a_number(present)


def _whole(numbers: np.ndarray[Any, Any], texts: pd.Series) -> list[int]:
    beyond = ~np.isfinite(numbers)
    if beyond.any():
        row = int(np.flatnonzero(beyond)[0])
        raise _Failed(f"'{texts.iloc[row]}' is out of range", row)
    return [int(number) for number in numbers.tolist()]


def _int_column(numbers: list[int], present: pd.Series) -> pd.Series:
    for row, number in enumerate(numbers):
        if not -(2**63) <= number < 2**63:
            raise _Failed(f"'{present.iloc[row]}' is out of range", row)
    values, missing = np.array(numbers, dtype=np.int64), present.isna().to_numpy(dtype=bool)
    return pd.Series(pd.arrays.IntegerArray(values, missing) if missing.any() else values)


def _boolean(texts: pd.Series) -> pd.Series:
    lower = _present(texts).str.lower()
    true, false, missing = lower.isin(_TRUE), lower.isin(_FALSE), lower.isna()
    known = (true | false | missing).to_numpy(dtype=bool)
    if not known.all():
        row = int(np.flatnonzero(~known)[0])
        raise _Failed(f"'{texts.iloc[row]}' is neither true nor false", row)
    return pd.Series(pd.arrays.BooleanArray(true.to_numpy(dtype=bool), missing.to_numpy(dtype=bool, copy=True)))


def _datetime(texts: pd.Series) -> pd.Series:
    present = _present(texts)
    readings = (in_utc(present, format_) for format_ in (ISO, *DATE_FORMATS, *TIME_FORMATS))
    wrong: list[int] = []
    for times in readings:
        odd = np.flatnonzero((times.isna() & present.notna()).to_numpy(dtype=bool))
        if not odd.size:
            return _nanoseconds(times)
        wrong.append(int(odd[0]))
    raise _Failed(f"'{texts.iloc[wrong[0]]}' is no date", wrong[0])


def _nanoseconds(times: pd.Series) -> pd.Series:
    try:
        return times.dt.tz_localize(None).dt.as_unit("ns")
    except pd.errors.OutOfBoundsDatetime as error:
        raise _Failed(str(error)) from None


def _interval(texts: pd.Series) -> pd.Series:
    values = _present(texts).to_numpy(dtype=object, na_value=None).tolist()
    try:
        return intervals(values)
    except ValueError as error:
        raise _Failed(str(error)) from None


_FROM_TEXT: Mapping[str, Callable[[pd.Series], pd.Series]] = {
    "string": _string,
    "int64": _int,
    "float64": _float,
    "boolean": _boolean,
    "datetime64[ns]": _datetime,
    "categorical": _category,
    "interval": _interval,
}


def filled(default: Any, dtype: Dtype, length: int) -> pd.Series:
    """A column of one value in every row, cast to the type. Raises ``ValueError`` for a default that is none."""
    try:
        return convert([default] * length, dtype)
    except _Failed as failed:
        raise ValueError(f"the default {default!r} is no {dtype}: {failed.reason}") from None

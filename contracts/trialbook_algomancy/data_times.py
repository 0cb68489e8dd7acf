"""Columns of times and their texts."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd

ISO = "ISO8601"
DATE_FORMATS = ("%Y-%m-%d", "%m/%d/%Y", "%d/%m/%Y", "%d-%m-%Y", "%d.%m.%Y")
TIME_FORMATS = (
    "%Y-%m-%d %H:%M:%S", "%m/%d/%Y %H:%M:%S", "%d/%m/%Y %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%d.%m.%Y %H:%M:%S",
)  # fmt: skip
_NAMED = re.compile(r"datetime64\[(s|ms|us|ns)(?:, (.+))?\]")
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def iso_texts(column: pd.Series) -> list[str | None]:
    """ISO 8601 texts, None for missing times; fractions of a second only where there are some."""
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        return [None if value is pd.NaT else _in_whole_minutes(value).isoformat() for value in column]
    values = column.to_numpy()
    texts: list[str | None] = np.datetime_as_string(values, unit="s").tolist()
    unit = np.datetime_data(values.dtype)[0]
    missing = np.isnat(values)
    ticks = values.view("i8") % _PER_SECOND[unit]
    for at in np.flatnonzero(missing | (ticks != 0)):
        texts[at] = None if missing[at] else f"{texts[at]}.{_fraction(int(ticks[at]), unit)}"
    return texts


def _in_whole_minutes(value: pd.Timestamp) -> pd.Timestamp:
    """The same instant with an offset that ISO 8601 can say: local mean times before 1937 have seconds in theirs."""
    offset = value.utcoffset()
    return value.tz_convert("UTC") if offset is not None and offset.seconds % 60 else value


def _fraction(ticks: int, unit: str) -> str:
    """Six digits, or nine where there are nanoseconds."""
    nanoseconds = ticks * (10**9 // _PER_SECOND[unit])
    return f"{nanoseconds:09d}" if nanoseconds % 1000 else f"{nanoseconds // 1000:06d}"


def parse_times(values: list[Any], name: str) -> pd.Series:
    """The column named ``name`` (of nanoseconds, if that says no unit); what is no time in its range becomes NaT.

    A text with an offset means the same instant in UTC. Texts that are not ISO 8601 are tried in ``DATE_FORMATS``
    and ``TIME_FORMATS``.
    """
    texts = pd.Series([value if isinstance(value, str) else None for value in values], dtype="str")
    times = in_utc(texts, ISO)
    for format_ in DATE_FORMATS + TIME_FORMATS:
        left = times.isna() & texts.notna()
        if not left.any():
            break
        times = times.mask(left, in_utc(texts.where(left), format_))
    found = _NAMED.fullmatch(name)
    unit, zone = (found[1], found[2]) if found else ("ns", None)
    fitted = _fitted(times.dt.tz_localize(None), unit)
    return fitted if zone is None else fitted.dt.tz_localize("UTC").dt.tz_convert(zone)


def in_utc(texts: pd.Series, format_: str) -> pd.Series:
    """The times of texts in that format, in UTC; NaT for those in another. What ISO says without an offset is UTC."""
    begin = texts.str.match("[0-9]{4}" if format_ == ISO else "[0-9]")  # pandas also reads "today"
    texts = texts.where(begin.fillna(value=False).astype(bool))
    return pd.to_datetime(texts, format=format_, errors="coerce", utc=True)


def _fitted(times: pd.Series, unit: str) -> pd.Series:
    """The times in that unit; those beyond its range become NaT."""
    if unit == "ns" and np.datetime_data(times.dtype)[0] != "ns":
        bound = (2**63 - 1) // 1000
        microseconds = times.to_numpy().astype("M8[us]")
        times = times.mask((microseconds < np.datetime64(-bound, "us")) | (microseconds > np.datetime64(bound, "us")))
    return times.dt.as_unit(unit)

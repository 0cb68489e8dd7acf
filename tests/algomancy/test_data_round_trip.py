"""Whatever tables hold, their JSON brings it back, and equal tables are equal bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from trialbook_algomancy.data import tables_from_json, tables_json

ROWS = st.integers(0, 6)
TEXTS = st.one_of(
    st.text(max_size=8), st.sampled_from(["007", "1e5", "NaN", "null", "", " ", "2026-01-01", "é\U0001f600"])
)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
BIG = st.one_of(st.integers(), st.integers(-(2**80), 2**80))
TIMES = st.datetimes(min_value=pd.Timestamp("1700-01-01"), max_value=pd.Timestamp("2200-01-01"))
NESTED = st.recursive(
    st.one_of(st.none(), st.booleans(), BIG, FINITE, TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=6,
)


def nullable(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), values)


def _ints(dtype: str) -> st.SearchStrategy[Any]:
    limits = np.iinfo(dtype.lower())
    return st.integers(int(limits.min), int(limits.max))


DTYPES: dict[str, st.SearchStrategy[Any]] = {
    "string": nullable(TEXTS),
    "int64": _ints("int64"),
    "int8": _ints("int8"),
    "uint64": _ints("uint64"),
    "Int64": nullable(_ints("int64")),
    "UInt8": nullable(_ints("uint8")),
    "float64": nullable(FINITE),
    "float32": nullable(st.floats(width=32, allow_nan=False, allow_infinity=False)),
    "Float64": nullable(FINITE),
    "bool": st.booleans(),
    "boolean": nullable(st.booleans()),
    "datetime64[ns]": nullable(TIMES),
    "datetime64[s]": nullable(TIMES.map(lambda time: time.replace(microsecond=0))),
    "datetime64[us, UTC]": nullable(TIMES),
    "datetime64[ns, Europe/Amsterdam]": nullable(TIMES),
    "category": nullable(TEXTS),
    "object": NESTED,
    "timedelta64[ns]": nullable(st.timedeltas(min_value=pd.Timedelta(days=-999), max_value=pd.Timedelta(days=999))),
}


def column(dtype: str, values: list[Any]) -> pd.Series:
    if dtype == "object":
        cells = np.empty(len(values), dtype=object)
        cells[:] = values
        return pd.Series(cells, dtype=object)
    if dtype == "category":
        return pd.Series(pd.array(values, dtype="string")).astype("category")
    if "," in dtype:
        return pd.Series(values, dtype="datetime64[us]").dt.tz_localize("UTC").astype(dtype)
    if dtype.startswith("float"):
        return pd.Series([np.nan if value is None else value for value in values], dtype=dtype)
    return pd.Series(values, dtype=dtype)


@st.composite
def frames(draw: st.DrawFn) -> pd.DataFrame:
    rows = draw(ROWS)
    names = draw(st.lists(TEXTS, unique=True, max_size=5))
    chosen = [(name, draw(st.sampled_from(sorted(DTYPES)))) for name in names]
    data = {name: column(dtype, draw(st.lists(DTYPES[dtype], min_size=rows, max_size=rows))) for name, dtype in chosen}
    frame = pd.DataFrame(data, columns=pd.Index(names, dtype="str"), index=pd.RangeIndex(rows))
    labels = draw(st.one_of(st.none(), st.lists(st.integers(0, 99), min_size=rows, max_size=rows)))
    return frame if labels is None or not rows else frame.set_axis(pd.Index(labels))


@settings(max_examples=80, deadline=None)
@given(st.dictionaries(TEXTS, frames(), max_size=3))
def test_tables_come_back_as_they_were(tables: dict[str, pd.DataFrame]) -> None:
    written = tables_json(tables)
    read = tables_from_json(written)
    assert tables_json(read) == written
    assert list(read) == list(tables)
    for name, frame in tables.items():
        # Of categories those come back that rows use, in the order that pandas gives them.
        assert_frame_equal(read[name], frame, check_index_type=False, check_categorical=False)

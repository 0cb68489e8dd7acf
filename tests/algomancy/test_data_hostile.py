"""Whatever a client posts, the answer is tables that can be written, or one text."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.algomancy.etl_files import columns, json_file, load_one
from trialbook_algomancy.data import Unreadable, tables_from_json, tables_json
from trialbook_algomancy.schemas import Column, Extension, Group

TEXTS = st.one_of(
    st.text(max_size=6),
    st.sampled_from(
        ["(0, 1]", "(1e999, 2]", "P1D", "9999-12-31", "2026-01-01T00:00+99:99", "-5", "nan", "1e400", "now"]
    ),
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.integers(-(2**90), 2**90), st.floats(), TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=5,
)
UNITS = ["", "[ns]", "[s]", "[us, UTC]", "[ns, Nope/Nope]", "[ns, ../../x]", "[xx]", "[ns, +05:30]"]
DTYPES = st.one_of(
    st.text(max_size=8),
    st.sampled_from([*(f"datetime64{unit}" for unit in UNITS), *(f"timedelta64{unit}" for unit in UNITS)]),
    st.sampled_from(["int", "Int", "uint128", "int8", "UInt64", "float", "float16", "Float32", "bool", "boolean"]),
    st.sampled_from(["category", "object", "string", "str", "interval", "interval[int64, right]", "period[D]"]),
    st.sampled_from(["complex128", "S5", "U100000000", "V1000000000", "Sparse[int]", "int64[pyarrow]"]),
    VALUES,
)


@settings(max_examples=150, deadline=None)
@given(st.lists(VALUES, max_size=4), DTYPES, st.lists(VALUES, max_size=4))
def test_any_column_of_any_type(values: list[Any], dtype: Any, labels: list[Any]) -> None:
    index = (labels + list(range(len(values))))[: len(values)]
    one = {"data": [{"a": value} for value in values], "columns": ["a"], "dtypes": {"a": dtype}, "index": index}
    try:
        body = msgspec.json.encode({"t": one})
    except UnicodeEncodeError:
        return
    try:
        read = tables_from_json(body)
    except Unreadable:
        return
    written = tables_json(read)
    assert tables_json(tables_from_json(written)) == written
    assert len(read["t"]) == len(values)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(["data", "columns", "index", "dtypes"]), VALUES))
def test_any_table(table: dict[str, Any]) -> None:
    with suppress(Unreadable):
        tables_from_json(msgspec.json.encode({"t": table}))


@pytest.mark.parametrize("dtype", ["string", "object", "category"])
def test_cells_as_deep_as_the_parser_goes(dtype: str) -> None:
    told = []
    for depth in (100, 400, 900, 990, 5_000):
        cell = "[" * depth + "]" * depth
        body = f'{{"t":{{"data":[{{"a":{cell}}}],"columns":["a"],"dtypes":{{"a":"{dtype}"}},"index":[0]}}}}'
        try:
            tables_json(tables_from_json(body.encode()))
        except (Unreadable, ValueError) as error:
            told.append(str(error))
    assert told
    assert all("nested too deeply" in text for text in told)


DECLARED = (
    *columns("s", i="int64", f="float64", b="boolean", d="datetime64[ns]", c="categorical", v="interval"),
    Column("k", primary_key=True),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from(["s", "i", "f", "b", "d", "c", "v", "k", "x"]), VALUES), max_size=4))
def test_any_records_load_and_can_be_written(records: list[dict[str, Any]]) -> None:
    outcome = load_one(json_file(records), DECLARED, "json", checks=None)
    assert outcome.success
    written = tables_json(outcome.tables)
    assert tables_json(tables_from_json(written)) == written


GROUPS = (Group("r", (Column("id"),)), Group("c", (Column("p", foreign_key=("t.r", "id")),), "a.b"))


@settings(max_examples=150, deadline=None)
@given(VALUES)
def test_any_json_with_nested_lists(value: Any) -> None:
    load_one(json_file(value), groups=GROUPS, extension="json")
    load_one(json_file([{"id": 1, "a": value}]), groups=GROUPS, extension="json")
    load_one(json_file([{"id": 1, "a": {"b": value}}]), groups=GROUPS, extension="json")


BYTES = st.one_of(st.binary(max_size=60), st.text("a;\"'\n\r\t 1,.é", max_size=60).map(str.encode))


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["csv", "json", "xlsx"]), BYTES)
def test_any_bytes(extension: Extension, content: bytes) -> None:
    with suppress(Unreadable):
        load_one(content, DECLARED, extension, checks=None)

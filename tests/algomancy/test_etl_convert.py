"""Conversion of columns: the rules in their order, the fall-backs, and what does not convert."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from tests.algomancy.etl_files import columns, csv_file, found, json_file, load_one
from trialbook_algomancy.data_columns import cells
from trialbook_algomancy.schemas import Column, Dtype


def through_json(values: list[Any], dtype: Dtype) -> tuple[pd.Series, list[str]]:
    outcome = load_one(json_file([{"c": value} for value in values]), [Column("c", dtype)], "json")
    return outcome.tables["t"]["c"], [message.message for message in found(outcome, "CONVERSION_FAILED")]


def through_csv(values: list[Any], dtype: Dtype) -> tuple[pd.Series, list[str]]:
    # A second column keeps rows with an empty cell from being blank lines.
    rows = [["c", "other"], *([value, 1] for value in values)]
    outcome = load_one(csv_file(rows), [Column("c", dtype), Column("other", "int64")])
    return outcome.tables["t"]["c"], [message.message for message in found(outcome, "CONVERSION_FAILED")]


GOOD: list[tuple[Dtype, list[Any], str, list[Any]]] = [
    ("int64", ["1", "-2", "+3", " 4 "], "int64", [1, -2, 3, 4]),
    ("int64", ["1", None], "Int64", [1, None]),
    ("int64", ["9007199254740993", None], "Int64", [9007199254740993, None]),
    ("int64", ["1.0", "1e3"], "int64", [1, 1000]),
    ("int64", ["1,0", "2,00"], "int64", [1, 2]),
    ("int64", ["1,234", "12"], "int64", [1234, 12]),
    ("int64", ["-1,234,567"], "int64", [-1234567]),
    ("int64", ["NA", "5"], "Int64", [None, 5]),
    ("float64", ["180,5", "1"], "float64", [180.5, 1.0]),
    ("float64", ["1.5", "2"], "float64", [1.5, 2.0]),
    ("float64", ["1,234.5", "99"], "float64", [1234.5, 99.0]),
    ("float64", ["1,234", "5,5"], "float64", [1.234, 5.5]),
    ("float64", ["1,234,567"], "float64", [1234567.0]),
    ("float64", ["0.1", "1e-7", ".5", "3."], "float64", [0.1, 1e-7, 0.5, 3.0]),
    ("float64", ["1", None, "nan"], "float64", [1.0, None, None]),
    ("float64", ["9007199254740993"], "float64", [9007199254740992.0]),
    ("boolean", ["true", "YES", "y", "1", "T"], "boolean", [True] * 5),
    ("boolean", ["False", "no", "N", "0", "f", None], "boolean", [False] * 5 + [None]),
    ("boolean", ["True", "False"], "boolean", [True, False]),
    ("string", ["007", "1.50", None, "NA", "null", "x"], "string", ["007", "1.50", None, "NA", "null", "x"]),
    ("string", ["007", "010"], "string", ["007", "010"]),
    ("string", ["True", "False"], "string", ["True", "False"]),
    ("string", ["1.50", "2"], "string", ["1.50", "2"]),
    ("categorical", ["b", "a", None], "category", ["b", "a", None]),
    ("categorical", ["01", "1"], "category", ["01", "1"]),
    ("interval", ["(0, 1]", None], "interval[float64, right]", ["(0.0, 1.0]", None]),
    ("interval", ["[0,5)", "[5, 9)"], "interval[int64, left]", ["[0, 5)", "[5, 9)"]),
    ("datetime64[ns]", ["2026-01-02", None], "datetime64[ns]", ["2026-01-02T00:00:00", None]),
    ("datetime64[ns]", ["2026-01-02T03:04:05Z", "2026-01-02 03:04:05.5"], "datetime64[ns]",
     ["2026-01-02T03:04:05", "2026-01-02T03:04:05.500000"]),
    ("datetime64[ns]", ["2026-01-02T00:00:00+02:00"], "datetime64[ns]", ["2026-01-01T22:00:00"]),
    ("datetime64[ns]", ["01/02/2026"], "datetime64[ns]", ["2026-01-02T00:00:00"]),
    ("datetime64[ns]", ["01/02/2026", "13/02/2026"], "datetime64[ns]", ["2026-02-01T00:00:00", "2026-02-13T00:00:00"]),
    ("datetime64[ns]", ["13-02-2026"], "datetime64[ns]", ["2026-02-13T00:00:00"]),
    ("datetime64[ns]", ["13.02.2026"], "datetime64[ns]", ["2026-02-13T00:00:00"]),
    ("datetime64[ns]", ["01/02/2026 10:11:12"], "datetime64[ns]", ["2026-01-02T10:11:12"]),
    ("datetime64[ns]", ["13/02/2026 10:11:12"], "datetime64[ns]", ["2026-02-13T10:11:12"]),
    ("datetime64[ns]", ["13.02.2026 10:11:12"], "datetime64[ns]", ["2026-02-13T10:11:12"]),
    ("datetime64[ns]", ["20260213"], "datetime64[ns]", ["2026-02-13T00:00:00"]),
]  # fmt: skip


@pytest.mark.parametrize("through", [through_csv, through_json])
@pytest.mark.parametrize(("dtype", "texts", "result", "values"), GOOD)
def test_texts_convert(through: Any, dtype: Dtype, texts: list[Any], result: str, values: list[Any]) -> None:
    column, failures = through(texts, dtype)
    assert failures == []
    assert str(column.dtype) == result
    assert [None if value != value else value for value in cells(column)] == values  # noqa: PLR0124 -- NaN


BAD: list[tuple[Dtype, list[Any], str]] = [
    ("int64", ["1", "x"], "'x' is no number"),
    ("int64", ["180,5"], "'180,5' has a fraction"),
    ("int64", ["180.5"], "'180.5' has a fraction"),
    ("int64", ["1.234,5"], "'1.234,5' is no number"),
    ("int64", ["9223372036854775808"], "'9223372036854775808' is out of range"),
    ("int64", ["1e400"], "'1e400' is out of range"),
    ("int64", ["True"], "'True' is no number"),
    ("int64", ["1_000"], "'1_000' is no number"),
    ("float64", ["1.5", "x"], "'x' is no number"),
    ("float64", ["12,34.5"], "'12,34.5' is no number"),
    ("float64", ["1e400"], "'1e400' is out of range"),
    ("float64", ["inf"], "'inf' is no number"),
    ("float64", ["1,5", "1,234.5"], "numbers are written in different ways"),
    ("float64", ["\uff11"], "'\uff11' is no number"),
    ("boolean", ["yes", "maybe"], "'maybe' is neither true nor false"),
    ("boolean", ["2"], "'2' is neither true nor false"),
    ("interval", ["(0, 1]", "5"], "'5' is no interval"),
    ("interval", ["(0, 1]", "[0, 1)"], "intervals are closed on different sides"),
    ("interval", ["(2, 1]"], "'(2, 1]' ends before it begins"),
    ("datetime64[ns]", ["2026-01-01", "202e5-02-06"], "'202e5-02-06' is no date"),
    ("datetime64[ns]", ["2026-02-30"], "'2026-02-30' is no date"),
    ("datetime64[ns]", ["today"], "'today' is no date"),
    ("datetime64[ns]", ["13/02/2026", "02/13/2026"], "'13/02/2026' is no date"),
    ("datetime64[ns]", ["9999-12-31"], "Out of bounds nanosecond timestamp: 9999-12-31 00:00:00"),
]


@pytest.mark.parametrize("through", [through_csv, through_json])
@pytest.mark.parametrize(("dtype", "texts", "reason"), BAD)
def test_what_does_not_convert_stays_as_read(through: Any, dtype: Dtype, texts: list[str], reason: str) -> None:
    column, failures = through(texts, dtype)
    assert failures == [f"Could not convert column 'c' to {dtype}: {reason}"]
    assert str(column.dtype) == "string"
    assert column.tolist() == texts


@pytest.mark.parametrize(
    ("dtype", "values", "result", "stored"),
    [
        ("int64", [1, 2.0, "3"], "int64", [1, 2, 3]),
        ("int64", [1, None], "Int64", [1, None]),
        ("float64", [1, 2.5, None], "float64", [1.0, 2.5, None]),
        ("float64", [1, "2,5"], "float64", [1.0, 2.5]),
        ("boolean", [True, None], "boolean", [True, None]),
        ("boolean", [1, 0, "no", True], "boolean", [True, False, False, True]),
        ("string", [1, 2.5, True, None, "x"], "string", ["1", "2.5", "True", None, "x"]),
        ("string", [["a", "b"], [{"c": None}], []], "string", ["['a', 'b']", "[{'c': None}]", "[]"]),
        ("categorical", [1, "1"], "category", ["1", "1"]),
        ("datetime64[ns]", [20260213, None], "datetime64[ns]", ["2026-02-13T00:00:00", None]),
    ],
)
def test_json_values_convert(dtype: Dtype, values: list[Any], result: str, stored: list[Any]) -> None:
    column, failures = through_json(values, dtype)
    assert failures == []
    assert str(column.dtype) == result
    assert [None if value != value else value for value in cells(column)] == stored  # noqa: PLR0124 -- NaN


@pytest.mark.parametrize(
    ("dtype", "values", "reason", "result"),
    [
        ("int64", [1, 1.5], "'1.5' has a fraction", "float64"),
        ("int64", [True, 1], "'True' is no number", "object"),
        ("int64", [2**63], "a value is out of range", "object"),
        ("float64", [[1]], "'[1]' is no number", "object"),
        ("datetime64[ns]", [45000], "'45000' is no date", "int64"),
    ],
)
def test_json_values_that_do_not_convert(dtype: Dtype, values: list[Any], reason: str, result: str) -> None:
    column, failures = through_json(values, dtype)
    assert failures == [f"Could not convert column 'c' to {dtype}: {reason}"]
    assert str(column.dtype) == result
    assert cells(column) == values


def test_the_failure_names_its_place_and_the_load_goes_on() -> None:
    outcome = load_one(csv_file([["a", "b"], [1, "x"], [2, "7"], ["", "y"]]), columns(a="int64", b="int64"))
    [message] = found(outcome, "CONVERSION_FAILED")
    assert (message.severity, message.table, message.column, message.row) == ("ERROR", "t", "b", 0)
    assert outcome.success
    assert len(outcome.tables["t"]) == 3


def test_line_breaks_and_tabs_in_messages_are_escaped() -> None:
    outcome = load_one(json_file([{"a\tb": "x\ny\rz"}]), [Column("a\tb", "int64")], "json")
    [message] = found(outcome, "CONVERSION_FAILED")
    assert message.message == "Could not convert column 'a\\tb' to int64: 'x\\ny\\rz' is no number"
    assert message.column == "a\tb"

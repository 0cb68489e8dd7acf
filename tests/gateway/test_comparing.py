"""Comparisons: best, thresholds and differences by definition; tables that other programs read."""

from __future__ import annotations

import io
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openpyxl import load_workbook

from trialbook.algomancy import Kpi
from trialbook_algomancy.workbooks import sheet_of_values
from trialbook_gateway import tables
from trialbook_gateway.comparing import Cell, Measure, Row, compare, table
from trialbook_gateway.tables import Column, Table

NUMBERS = st.one_of(st.none(), st.integers(-5, 5), st.floats(-1e308, 1e308, allow_nan=False))
FORMULAS = ["=1+1", "+1", "-1", "@x", "\tx", "#N/A", "plain", "", "0012"]


def measure(better_when: str, threshold: float | None = None) -> Measure:
    return Measure(key="m", name="m", better_when=better_when, threshold=threshold)


def rows(*values: Any) -> list[Row]:
    return [Row(id=str(n), about={"id": str(n)}, values={"m": value}) for n, value in enumerate(values)]


def cells(how: Measure, *values: Any, baseline: str | None = "0") -> list[Cell]:
    return [row["values"]["m"] for row in compare([how], rows(*values), baseline).rows]


@pytest.mark.parametrize(
    ("how", "values", "best"),
    [
        (measure("LOWER"), (3, 1.5, None, 1.5), ["1", "3"]),
        (measure("HIGHER"), (3, 1.5, None), ["0"]),
        (measure("AT_LEAST", 2), (3, 1.5, 2), ["0", "2"]),
        (measure("AT_MOST", 1), (3, 1.5, 2), ["1"]),
        (Measure(key="m", name="m"), (3, 1.5), []),
        (measure("LOWER"), (None, None), []),
        (measure("LOWER"), (), []),
    ],
)
def test_the_best_are_those_that_no_other_beats(how: Measure, values: Any, best: list[str]) -> None:
    assert compare([how], rows(*values), None).measures[0].best == best


@given(st.lists(NUMBERS, max_size=8), st.sampled_from(["HIGHER", "LOWER", "AT_LEAST", "AT_MOST"]), st.floats(-3, 3))
def test_best_follows_from_comparing_pairs(values: list[Any], better_when: Any, threshold: float) -> None:
    kpi = Kpi("k", lambda *_: 0.0, better_when, threshold=threshold)
    known = {n: value for n, value in enumerate(values) if value is not None}
    expected = [n for n, value in known.items() if all(kpi.compare(value, other) >= 0 for other in known.values())]
    assert kpi.best(dict(enumerate(values))) == expected


def test_differences_are_to_the_baseline() -> None:
    base, other, nothing = cells(measure("AT_MOST", 5), 4, 6, None)
    assert (base.difference, base.relative_difference, base.better, base.meets_threshold) == (0, 0.0, 0, True)
    assert (other.difference, other.relative_difference, other.better, other.meets_threshold) == (2, 0.5, -1, False)
    assert (nothing.difference, nothing.better, nothing.meets_threshold) == (None, None, None)
    assert [cell.relative_difference for cell in cells(measure("LOWER"), -4, -6)] == [0.0, -0.5]
    assert [cell.relative_difference for cell in cells(measure("LOWER"), 0, 6)] == [None, None]
    assert [cell.difference for cell in cells(measure("LOWER"), 1.7e308, -1.7e308)] == [0.0, None]  # beyond floats
    assert [cell.difference for cell in cells(measure("LOWER"), 1, 2, baseline=None)] == [None, None]


def test_parquet_has_types_also_for_empty_columns() -> None:
    made = table(compare([measure("LOWER")], rows(None, None), "0"), ["id"])
    read = pq.read_table(io.BytesIO(tables._parquet(made)))
    assert [str(field.type) for field in read.schema] == ["string", "double", "bool", "bool", "double", "double"]
    assert read.num_rows == 2


def test_a_table_has_its_columns_also_without_rows() -> None:
    full, empty = (table(compare([measure("LOWER")], rows(*values), None), ["id"]) for values in ((1.0,), ()))
    assert empty.columns == full.columns
    assert (len(full.rows), len(empty.rows)) == (1, 0)


def test_texts_that_look_like_formulas_are_texts() -> None:
    book = load_workbook(io.BytesIO(sheet_of_values("t", ["=a"], [[text] for text in FORMULAS])))
    found = [cell for row in book["t"].iter_rows(min_row=2) for cell in row]
    assert [cell.value or "" for cell in found] == FORMULAS
    assert {cell.data_type for cell in found if cell.value} == {"s"}
    assert book["t"]["A1"].data_type == "s"


def test_csv_quotes_what_it_must() -> None:
    made = Table([Column("a", "text"), Column("b", "number"), Column("c", "boolean")], [['x,"\n', 0.1, None]])
    assert tables._csv(made) == b'a,b,c\n"x,""\n",0.1,\n'

"""The same table says the same in csv, JSON and xlsx."""

from __future__ import annotations

import csv
import io
from typing import Any

import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from tests.algomancy.etl_files import found, json_file, load_one, xlsx_file
from trialbook_algomancy.schemas import Column, Dtype

# Characters that XML, and so xlsx, cannot hold are left out, and carriage returns, which XML reads as line feeds.
CHARACTERS = st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff")
ODD_TEXTS = ["007", "1e5", "True", "NA", "1,5", "a;b", 'a"b']
TEXTS = st.one_of(st.text(CHARACTERS, min_size=1, max_size=6), st.sampled_from(ODD_TEXTS))
FLOATS = st.floats(allow_nan=False, allow_infinity=False, width=32)
CELLS: dict[Dtype, st.SearchStrategy[Any]] = {
    "string": TEXTS.filter(lambda text: not text.startswith("=")),
    "categorical": TEXTS.filter(lambda text: not text.startswith("=")),
    "int64": st.integers(-(2**53), 2**53),
    "float64": FLOATS.filter(lambda number: number == 0 or abs(number) > 1e-30),
    "boolean": st.booleans(),
    "datetime64[ns]": st.datetimes(
        min_value=pd.Timestamp("1901-01-01"), max_value=pd.Timestamp("2200-01-01")
    ).map(lambda time: time.replace(microsecond=0)),
}  # fmt: skip
DTYPES = sorted(CELLS)


@st.composite
def tables(draw: st.DrawFn) -> tuple[tuple[Column, ...], list[list[Any]]]:
    dtypes = draw(st.lists(st.sampled_from(DTYPES), min_size=1, max_size=5))
    declared = (Column("key", "int64"), *(Column(f"c{at}", dtype) for at, dtype in enumerate(dtypes)))
    cells = [st.one_of(st.none(), CELLS[dtype]) for dtype in dtypes]
    body = draw(st.lists(st.tuples(*cells), min_size=1, max_size=6))
    return declared, [[key, *row] for key, row in enumerate(body)]


def written(cell: Any) -> Any:
    return cell.isoformat() if hasattr(cell, "isoformat") else cell


def as_csv(names: list[str], body: list[list[Any]]) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=";", lineterminator="\n")
    writer.writerow(names)
    writer.writerows([written(cell) for cell in row] for row in body)
    return out.getvalue().encode()


def as_json(names: list[str], body: list[list[Any]]) -> bytes:
    return json_file([dict(zip(names, map(written, row), strict=True)) for row in body])


@settings(max_examples=60, deadline=None)
@given(tables())
def test_three_formats_one_table(table: tuple[tuple[Column, ...], list[list[Any]]]) -> None:
    declared, body = table
    names = [column.name for column in declared]
    outcomes = [
        load_one(as_csv(names, body), declared, "csv"),
        load_one(as_json(names, body), declared, "json"),
        load_one(xlsx_file({"s": [names, *body]}), declared, "xlsx"),
    ]
    assert [found(outcome, "CONVERSION_FAILED") for outcome in outcomes] == [[], [], []]
    first, second, third = (outcome.tables["t"] for outcome in outcomes)
    assert_frame_equal(first, second)
    assert_frame_equal(second, third)
    expected = pd.DataFrame({name: [row[at] for row in body] for at, name in enumerate(names)}, dtype=object)
    assert_frame_equal(
        second.astype(object).where(second.notna(), None), expected.where(expected.notna(), None), check_dtype=False
    )

"""Exports: what they hold, and that no text of a table becomes a formula."""

from __future__ import annotations

import io
from datetime import datetime
from typing import Any
from zipfile import ZipFile

import numpy as np
import openpyxl
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trialbook_algomancy.exports import parquet, parquet_archive, xlsx

TABLE = pd.DataFrame({
    "text": pd.array(["007", None, "é\U0001f600"], dtype="string"),
    "n": pd.array([1, None, 2**60], dtype="Int64"),
    "f": [1.5, np.nan, np.inf],
    "b": pd.array([True, None, False], dtype="boolean"),
    "d": pd.Series(["2026-01-02T03:04:05", None, "1815-06-18"]).astype("datetime64[ns]"),
    "c": pd.Categorical(["x", None, "y"]),
    "o": pd.Series([[1, {"a": None}], "plain", None], dtype=object),
    "z": pd.to_datetime(pd.Series(["2026-01-02", None, "2026-07-02"])).dt.tz_localize("UTC"),
})  # fmt: skip


def sheets(content: bytes) -> dict[str, list[list[Any]]]:
    book = openpyxl.load_workbook(io.BytesIO(content))
    return {sheet.title: [[cell.value for cell in row] for row in sheet.iter_rows()] for sheet in book.worksheets}


def test_a_workbook_has_a_sheet_per_table() -> None:
    found = sheets(xlsx({"one": TABLE, "two": pd.DataFrame({"a": [1]})}))
    assert list(found) == ["one", "two"]
    assert found["one"] == [
        ["text", "n", "f", "b", "d", "c", "o", "z"],
        ["007", 1, 1.5, True, datetime.fromisoformat("2026-01-02T03:04:05"), "x", '[1, {"a": null}]',
         "2026-01-02T00:00:00+00:00"],
        [None, None, None, None, None, None, "plain", None],
        ["é\U0001f600", str(2**60), None, False, "1815-06-18T00:00:00", "y", None, "2026-07-02T00:00:00+00:00"],
    ]  # fmt: skip
    assert sheets(xlsx({})) == {"empty": []}


STARTS = st.sampled_from(["", "=", "+", "-", "@", "\t=", "\r@", " =", "#N/A", "'="])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(STARTS, st.text(max_size=6)), min_size=1))
def test_text_stays_text(parts: list[tuple[str, str]]) -> None:
    texts = [start + rest for start, rest in parts]
    frame = pd.DataFrame({"=1+1": pd.Series(texts, dtype=object)})
    book = openpyxl.load_workbook(io.BytesIO(xlsx({"=cmd()": frame})))
    for row in book.worksheets[0].iter_rows():
        for cell in row:
            assert cell.value is None or cell.data_type == "s"
            assert not (cell.value or "").startswith(("=", "+", "-", "@")) or cell.quotePrefix


def test_characters_that_xml_has_not_are_replaced() -> None:
    assert sheets(xlsx({"t": pd.DataFrame({"a": ["x\x00y\x0bz", "line\nbreak"]})}))["t"][1:] == [
        ["x\ufffdy\ufffdz"],
        ["line\nbreak"],
    ]


def test_sheets_have_names_that_are_allowed_and_different() -> None:
    long = "inventory of the warehouse in Rotterdam"
    names = ["a/b", "a:b", "A_B", "", long, long + " 2", "'quoted'"]
    titles = list(sheets(xlsx(dict.fromkeys(names, pd.DataFrame({"a": [1]})))))
    assert titles == ["a_b", "a_b (1)", "A_B (2)", "_", long[:31], f"{long[:23]} (1)", "quoted"]


def test_what_xlsx_cannot_hold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="longer than a cell of xlsx can be"):
        xlsx({"t": pd.DataFrame({"a": ["x" * 32_768]})})
    monkeypatch.setattr("trialbook_algomancy.exports.MAX_SHEET_ROWS", 3)
    with pytest.raises(ValueError, match="table 't' is larger than a sheet"):
        xlsx({"t": pd.DataFrame({"a": [1, 2, 3]})})


def test_parquet_keeps_types_and_texts() -> None:
    read = pd.read_parquet(io.BytesIO(parquet(TABLE)), dtype_backend="numpy_nullable")
    assert read["text"].tolist() == ["007", pd.NA, "é\U0001f600"]
    assert read["n"].tolist() == [1, pd.NA, 2**60]
    assert read["o"].tolist() == ['[1, {"a": null}]', "plain", pd.NA]
    assert read["d"].tolist()[::2] == TABLE["d"].tolist()[::2]
    assert str(read["b"].dtype) == "boolean"
    with pytest.raises(ValueError, match="two columns of the same name"):
        parquet(pd.DataFrame([[1, 2]], columns=["a", "a"]))


def test_an_archive_of_parquet_is_the_same_each_time() -> None:
    tables = {"a/b": TABLE, "../c": TABLE.iloc[:1]}
    content = parquet_archive(tables)
    assert content == parquet_archive(tables)
    with ZipFile(io.BytesIO(content)) as archive:
        assert archive.namelist() == ["a_b.parquet", ".._c.parquet"]
        assert len(pd.read_parquet(io.BytesIO(archive.read("a_b.parquet")))) == 3

"""Reading files: csv, JSON and xlsx, one table or several."""

from __future__ import annotations

from datetime import datetime, time
from pathlib import Path
from typing import Any

import pytest

from tests.algomancy.etl_files import Rows, columns, csv_file, found, json_file, load_one, xlsx_file
from trialbook_algomancy.data_errors import Unreadable
from trialbook_algomancy.etl.load import load
from trialbook_algomancy.schemas import Column, EtlConfig, Extension, Group, Schema

TEXTS = columns("a", "b")
LATIN_1_AT_THE_END = b"a;b\n" + b"x;1\n" * 99_999 + b"y\xe9;1\n"


def rows(table: Any) -> list[list[Any]]:
    return [list(row) for row in table.astype(object).where(table.notna(), None).itertuples(index=False)]


@pytest.mark.parametrize(
    ("content", "result"),
    [
        (b"a;b\n1;2\n", [["1", "2"]]),
        (b"\xef\xbb\xbfa;b\n1;2\n", [["1", "2"]]),
        (b"a;b\r\n1;2\r\n", [["1", "2"]]),
        (b"a;b\n001;1.50", [["001", "1.50"]]),
        (b'a;b\n"x;y";"p""q"\n', [["x;y", 'p"q']]),
        (b'a;b\n"x\ny";z\n', [["x\ny", "z"]]),
        (b"a;b\n1;\n;2\n", [["1", None], [None, "2"]]),
        (b"a;b\n1\n", [["1", None]]),
        (b"a;b\n\n1;2\n\n", [["1", "2"]]),
        (b"a;b\n1;2;\n3;4;\n", [["1", "2"], ["3", "4"]]),
        (b"a;b\n0;2;\n1;4;\n2;6;\n", [["0", "2"], ["1", "4"], ["2", "6"]]),
        (b"a;b\n0;2;\n1;4\n2\n", [["0", "2"], ["1", "4"], ["2", None]]),
        (b"\n\na;b\n\n0;x\n", [["0", "x"]]),
        (b"a;b\n1;2;;\n3;4;;\n", [["1", "2"], ["3", "4"]]),
        (b"a;b\nNA;null\n", [["NA", "null"]]),
        (b"a;b\nTrue;1e5\n", [["True", "1e5"]]),
        ("a;b\né;\U0001f600\n".encode(), [["é", "\U0001f600"]]),
        (b"a;b\n", []),
    ],
)
def test_csv(content: bytes, result: list[Any]) -> None:
    table = load_one(content, TEXTS).tables["t"]
    assert list(table.columns) == ["a", "b"]
    assert rows(table) == result
    assert all(str(dtype) == "string" for dtype in table.dtypes)


def test_another_separator() -> None:
    assert rows(load_one(b"a,b\n1,2;3\n", TEXTS, separator=",").tables["t"]) == [["1", "2;3"]]


def test_columns_outside_of_the_schema_stay_text_in_csv() -> None:
    table = load_one(b"a;x;x;\n1;007;7;8\n", columns("a")).tables["t"]
    assert list(table.columns) == ["a", "x", "x.1", "Unnamed: 3"]
    assert rows(table) == [["1", "007", "7", "8"]]


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        (b"", "No columns to parse from file"),
        (b"\n\n", "No columns to parse from file"),
        (b"a;b\n1;2\n1;2;3\n", "Error tokenizing data. C error: Expected 2 fields in line 3, saw 3"),
        (b"a;b\n1;2;3\n", "Rows have 3 cells, the header has 2."),
        (b'a;b\n"x;y\n', "Error tokenizing data. C error: EOF inside string starting at row 1"),
        (b"a;b\n\xe9;1\n", "'utf-8' codec can't decode byte 0xe9 in position 4: invalid continuation byte"),
        (
            b"a;b\n" + b"x;1\n" * 99_999 + b"y\xe9;1\n",
            "'utf-8' codec can't decode byte 0xe9 in position 1: unexpected end of data",
        ),
    ],
)
def test_unreadable_csv(content: bytes, detail: str) -> None:
    with pytest.raises(Unreadable) as error:
        load_one(content, TEXTS)
    assert error.value.detail == detail


def test_json_with_nested_objects_and_lists() -> None:
    records = [
        {"a": 1, "n": {"x": "p", "deep": {"y": ["s", 1]}}},
        {"a": 2, "late": True, "n": {"x": None}},
        {"a": None, "n": {}},
    ]
    declared = columns("n.x", "n.deep.y", a="int64", late="boolean")
    table = load_one(json_file(records), declared, "json").tables["t"]
    assert list(table.columns) == ["a", "n.x", "n.deep.y", "late"]
    assert rows(table) == [[1, "p", "['s', 1]", None], [2, None, None, True], [None, None, None, None]]


def test_json_with_a_byte_order_mark() -> None:
    assert rows(load_one(b'\xef\xbb\xbf[{"a":"1","b":"2"}]', TEXTS, "json").tables["t"]) == [["1", "2"]]


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        (b"", "Expecting value: line 1 column 1 (char 0)"),
        (b"[{]", "Expecting property name enclosed in double quotes: line 1 column 3 (char 2)"),
        (b'[{"a":"\xe9"}]', "'utf-8' codec can't decode byte 0xe9 in position 7: invalid continuation byte"),
        (b"[" * 100_000, "JSON is nested too deeply"),
    ],
)
def test_unreadable_json(content: bytes, detail: str) -> None:
    with pytest.raises(Unreadable) as error:
        load_one(content, TEXTS, "json")
    assert error.value.detail == detail


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": 1}, "t.json must hold a list of objects"),
        (5, "t.json must hold a list of objects"),
        ([{"a": 1}, 2], "t.json: item 1 is no object"),
    ],
)
def test_json_of_another_structure(value: object, text: str) -> None:
    outcome = load_one(json_file(value), TEXTS, "json")
    [message] = found(outcome, "EXTRACTION_FAILED")
    assert (message.severity, message.message, message.table) == ("CRITICAL", f"Extraction failed: {text}", "t")
    assert not outcome.success
    assert outcome.tables == {}


ORDERS = Group("orders", (Column("id", "int64"), Column("who.name")))
LINES = Group(
    "lines",
    (Column("order", "int64", foreign_key=("t.orders", "id")), Column("sku"), Column("n", "int64")),
    source_path="box.lines",
)
PARTS = Group("parts", (Column("p"), Column("order", foreign_key=("t.orders", "id"))), source_path="box.lines.parts")
NESTED = [
    {"id": 1, "who": {"name": "A"}, "box": {"size": 5, "lines": [{"sku": "x", "n": 1, "parts": [{"p": "u"}]},
                                                                {"sku": "y", "n": 2}]}},
    {"id": 2, "who": {"name": "B"}, "box": {"size": 6, "lines": []}},
    {"id": 3, "who": {"name": "C"}, "box": None},
    {"id": 4, "who": {"name": "D"}, "box": {"size": 7, "lines": [{"sku": "z", "n": 3,
                                                                 "parts": [{"p": "v"}, {"p": "w"}]}]}},
]  # fmt: skip


@pytest.mark.parametrize("root", [NESTED, {"orders": NESTED, "count": 4}])
def test_nested_lists_become_tables(root: object) -> None:
    tables = load_one(json_file(root), groups=(ORDERS, LINES, PARTS), extension="json").tables
    assert list(tables) == ["t.orders", "t.lines", "t.parts"]
    assert list(tables["t.orders"].columns) == ["id", "who.name", "box.size", "box"]
    assert list(tables["t.lines"].columns) == ["order", "sku", "n"]
    assert rows(tables["t.lines"]) == [[1, "x", 1], [1, "y", 2], [4, "z", 3]]
    assert rows(tables["t.parts"]) == [["1", "u"], ["4", "v"], ["4", "w"]]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": [], "b": []}, "t.json must hold a list of objects, or an object with exactly one list"),
        ({"a": 1}, "t.json must hold a list of objects, or an object with exactly one list"),
        ([{"id": 1, "box": {"lines": {"sku": "x"}}}], "t.json: 'box.lines' is no list"),
        ([{"id": 1, "box": {"lines": [5]}}], "t.json: 'box.lines' holds something that is no object"),
        ([{"id": 1, "box": 5}], "t.json: 'box.lines' holds something that is no object"),
    ],
)
def test_nested_json_of_another_structure(value: object, text: str) -> None:
    outcome = load_one(json_file(value), groups=(ORDERS, LINES), extension="json")
    assert [message.message for message in found(outcome, "EXTRACTION_FAILED")] == [f"Extraction failed: {text}"]


DAY, MOMENT = datetime.fromisoformat("2026-01-02"), datetime.fromisoformat("2026-01-02T03:04:05")
SHEETS: dict[str, Rows] = {
    "cover": [["hello"]],
    "S 1": [["a", "b", None], ["x", 10, None], [], ["y", 10.5, "extra"], [None, None]],
    "S 2": [[], ["b", "b", 5], [True, MOMENT, time(10, 30)]],
}


@pytest.mark.parametrize("sheet", [1, "S 1"])
def test_one_sheet_by_name_or_position(sheet: str | int) -> None:
    table = load_one(xlsx_file(SHEETS), TEXTS, "xlsx", sheet=sheet).tables["t"]
    assert list(table.columns) == ["a", "b", "Unnamed: 2"]
    assert rows(table) == [["x", "10", None], [None, None, None], ["y", "10.5", "extra"]]


def test_a_sheet_per_group() -> None:
    groups = (Group("S 2", columns("b", "b.1", "5")), Group("S 1", columns("a", b="float64")))
    tables = load_one(xlsx_file(SHEETS), groups=groups, extension="xlsx").tables
    assert list(tables) == ["t.S 2", "t.S 1"]
    assert rows(tables["t.S 2"]) == [["True", "2026-01-02 03:04:05", "10:30:00"]]
    assert tables["t.S 1"]["b"].dropna().tolist() == [10.0, 10.5]


def test_dates_of_a_sheet() -> None:
    content = xlsx_file({"s": [["d", "e"], [DAY, DAY], [None, "2026-01-03"]]})
    table = load_one(content, columns(d="datetime64[ns]", e="datetime64[ns]"), "xlsx").tables["t"]
    assert [str(dtype) for dtype in table.dtypes] == ["datetime64[ns]"] * 2
    assert table["d"].iloc[0] == table["e"].iloc[0] == DAY


def test_formulas_have_the_value_that_was_computed_last() -> None:
    table = load_one(xlsx_file({"s": [["a", "b"], ["=1+1", "x"]]}), TEXTS, "xlsx").tables["t"]
    assert rows(table) == [[None, "x"]]


def test_an_empty_sheet_is_a_table_without_columns() -> None:
    table = load_one(xlsx_file({"s": []}), TEXTS, "xlsx").tables["t"]
    assert table.shape == (0, 0)


@pytest.mark.parametrize(
    ("content", "sheet", "detail"),
    [
        (xlsx_file({"s": [["a"]]}), "x", "Worksheet named 'x' not found"),
        (xlsx_file({"s": [["a"]]}), 1, "Worksheet index 1 is invalid, 1 worksheets found"),
        (b"no zip", 0, "t.xlsx cannot be read: File is not a zip file"),
        (b"", 0, "t.xlsx cannot be read: File is not a zip file"),
    ],
)
def test_unreadable_xlsx(content: bytes, sheet: str | int, detail: str) -> None:
    with pytest.raises(Unreadable) as error:
        load_one(content, TEXTS, "xlsx", sheet=sheet)
    assert error.value.detail == detail


@pytest.mark.parametrize("extension", ["json", "xlsx"])
def test_types_of_columns_outside_of_the_schema(extension: Extension) -> None:
    records: list[dict[str, Any]] = [
        {"i": 1, "f": 1.5, "s": "x", "b": True, "m": 1},
        {"i": 2, "f": None, "s": None, "b": None, "m": "x"},
    ]
    sheet: Rows = [list(records[0]), *(list(record.values()) for record in records)]
    content = json_file(records) if extension == "json" else xlsx_file({"s": sheet})
    table = load_one(content, columns("z"), extension).tables["t"]
    assert [str(dtype) for dtype in table.dtypes] == ["int64", "float64", "string", "boolean", "object"]


def test_dates_outside_of_the_schema() -> None:
    content = xlsx_file({"s": [["d"], [DAY], [None]]})
    assert str(load_one(content, columns("z"), "xlsx").tables["t"]["d"].dtype) == "datetime64[ns]"


@pytest.mark.parametrize(
    ("extension", "content"),
    [
        ("csv", csv_file([["a", "b"], ["01", "x"]])),
        ("json", json_file([{"a": "01", "b": "x"}])),
        ("xlsx", xlsx_file({"s": [["a", "b"], ["01", "x"]]})),
    ],
)
def test_files_on_disk_have_any_name(extension: Extension, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "stored"
    path.write_bytes(content)
    outcome = load({f"t.{extension}": path}, EtlConfig((Schema("t", extension, TEXTS),)), "n")
    assert rows(outcome.tables["t"]) == [["01", "x"]]
    assert outcome.record.files[0].size_bytes == len(content)

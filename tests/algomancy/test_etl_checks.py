"""Every check: its code, its text, its severity, its place."""

from __future__ import annotations

import pandas as pd
import pytest

from tests.algomancy.etl_files import Rows, columns, csv_file, load_csvs, load_one
from trialbook_algomancy.etl.checks import (
    ForeignKeys,
    NotEmpty,
    NotNull,
    PrimaryKeys,
    RequiredColumns,
    SchemaMatches,
    UniqueValues,
)  # fmt: skip
from trialbook_algomancy.etl.findings import MAX_ROWS_REPORTED
from trialbook_algomancy.etl.messages import Message, Severity
from trialbook_algomancy.schemas import Check, Column

ERROR, CRITICAL = Severity.ERROR, Severity.CRITICAL


def said(rows: Rows, declared: tuple[Column, ...], *checks: Check) -> list[Message]:
    return list(load_one(csv_file(rows), declared, checks=checks).messages)


def test_an_empty_table() -> None:
    assert said([["a"]], columns("a"), NotEmpty()) == [
        Message(CRITICAL, "Extraction of t returned empty DataFrame.", "t", code="EMPTY_EXTRACTION")
    ]
    assert said([["a"], [1]], columns("a"), NotEmpty()) == []


def test_a_missing_column() -> None:
    declared = (Column("a"), Column("b"), Column("c", optional=True))
    assert said([["a"], [1]], declared, RequiredColumns()) == [
        Message(ERROR, "Required column 'b' missing from t.", "t", "b", code="MISSING_REQUIRED_COLUMN")
    ]


def test_what_is_not_in_the_schema() -> None:
    tables = {"t": pd.DataFrame({"a": [1], "x": [1]}), "u": pd.DataFrame({"a": [1]})}
    check = SchemaMatches(no_schema=Severity.WARNING, unexpected_column=CRITICAL)
    assert list(check(tables, {"t": columns(a="int64")})) == [
        Message(CRITICAL, "Column 'x' not in schema for t.", "t", "x", code="UNEXPECTED_COLUMN"),
        Message(Severity.WARNING, "No schema found for u.", "u", code="NO_SCHEMA"),
    ]


def test_a_type_that_differs() -> None:
    messages = said([["a", "b"], ["x", 1]], columns(a="int64", b="int64"), SchemaMatches())
    assert messages[1:] == [
        Message(Severity.WARNING, "Column 'a' has incorrect datatype for t.", "t", "a", code="DTYPE_MISMATCH")
    ]


def test_no_type_differs_after_conversion() -> None:
    declared = columns(
        s="string", i="int64", n="int64", f="float64", b="boolean", d="datetime64[ns]", c="categorical", v="interval"
    )
    rows: Rows = [["s", "i", "n", "f", "b", "d", "c", "v"], ["x", 1, 2, 1.5, "yes", "2026-01-02", "u", "(0, 1]"]]
    more = ["y", 2, None, None, None, None, None, None]
    assert said([*rows, more], declared, SchemaMatches()) == [
        Message(Severity.INFO, "Schema validation successful for t.", "t")
    ]


KEYED = (Column("a", primary_key=True), Column("b", "int64", primary_key=True), Column("c"))


def test_a_primary_key_of_two_columns() -> None:
    rows: Rows = [["a", "b", "c"], ["x", 1, ""], ["x", 2, ""], ["y", "", ""], ["x", 1, ""], ["", "", "z"], ["x", 1, ""]]
    assert said(rows, KEYED, PrimaryKeys()) == [
        Message(ERROR, "Null value in primary key (a, b) of t.", "t", "a, b", 2, "PK_NULL"),
        Message(ERROR, "Null value in primary key (a, b) of t.", "t", "a, b", 4, "PK_NULL"),
        *(Message(ERROR, "Duplicate primary key value in t.", "t", "a, b", row, "PK_DUPLICATE") for row in (0, 3, 5)),
    ]


def test_a_primary_key_that_is_not_there() -> None:
    assert said([["a", "c"], ["x", 1], ["x", 1]], KEYED, PrimaryKeys()) == [
        Message(ERROR, "Primary-key column 'b' missing from t.", "t", "b", code="MISSING_PK_COLUMN")
    ]


def test_a_primary_key_of_lists_is_compared_by_its_text() -> None:
    tables = {"t": pd.DataFrame({"a": [[1], [2], [1]]})}
    messages = list(PrimaryKeys()(tables, {"t": (Column("a", primary_key=True),)}))
    assert [message.row for message in messages] == [0, 2]


def test_unique_columns_may_have_several_nulls() -> None:
    rows: Rows = [["k", "u"], [1, "x"], [2, ""], [3, ""], [4, "y"], [5, "x"]]
    assert said(rows, (Column("k"), Column("u", unique=True)), UniqueValues()) == [
        Message(ERROR, "Duplicate value in 't.u'.", "t", "u", row, "DUPLICATE_VALUE") for row in (0, 4)
    ]


def test_columns_that_must_have_values() -> None:
    rows: Rows = [["k", "n"], [1, "x"], [2, ""]]
    assert said(rows, (Column("k"), Column("n", nullable=False)), NotNull()) == [
        Message(ERROR, "Null value in 't.n'.", "t", "n", 1, "NULL_VALUE")
    ]


@pytest.mark.parametrize(
    ("check", "code", "rows"),
    [
        (PrimaryKeys(table="t", columns=("a",)), "PK_DUPLICATE", [0, 1]),
        (UniqueValues(table="t", columns=("a",)), "DUPLICATE_VALUE", [0, 1]),
        (NotNull(Severity.WARNING, "t", ("b",)), "NULL_VALUE", [1]),
    ],
)
def test_named_checks_look_where_they_are_told(check: Check, code: str, rows: list[int]) -> None:
    messages = said([["a", "b"], ["x", 1], ["x", ""]], columns("a", "b"), check)
    assert [(message.code, message.row) for message in messages] == [(code, row) for row in rows]


@pytest.mark.parametrize("kind", [UniqueValues, NotNull])
def test_named_checks_that_cannot_be_made(kind: type[UniqueValues] | type[NotNull]) -> None:
    assert said([["a"], [1]], columns("a"), kind(table="u", columns=("a",))) == [
        Message(ERROR, "Table 'u' not found.", "u", code="TABLE_NOT_FOUND")
    ]
    assert said([["a"], [1]], columns("a"), kind(table="t", columns=("z",))) == [
        Message(ERROR, "Column 'z' not found in t.", "t", "z", code="COLUMN_NOT_FOUND")
    ]


def test_a_named_primary_key_of_no_table() -> None:
    assert said([["a"], [1]], columns("a"), PrimaryKeys(table="u", columns=("a",))) == [
        Message(ERROR, "Table 'u' not found.", "u", code="TABLE_NOT_FOUND")
    ]


ORDERS = (Column("id"), Column("year", "int64"))
LINES = (
    Column("n", "int64"),
    Column("order", foreign_key=("orders", "id")),
    Column("year", "int64", foreign_key=("orders", "year")),
)


def test_a_foreign_key_of_two_columns() -> None:
    files: dict[str, Rows] = {
        "orders": [["id", "year"], ["a", 1], ["b", 2]],
        "lines": [["n", "order", "year"], [1, "a", 1], [2, "a", 2], [3, "", 1], [4, "b", ""], [5, "c", 1]],
    }
    outcome = load_csvs(files, {"orders": ORDERS, "lines": LINES}, checks=(ForeignKeys(),))
    text = "Foreign key (order, year)=({}) in lines has no match in orders.(id, year)."
    assert list(outcome.messages) == [
        Message(ERROR, text.format("a, 2"), "lines", "order, year", 1, "FK_VIOLATION"),
        Message(ERROR, text.format("c, 1"), "lines", "order, year", 4, "FK_VIOLATION"),
    ]


def test_two_columns_that_point_to_one_column_are_two_keys() -> None:
    edges = (Column("from", foreign_key=("nodes", "id")), Column("to", foreign_key=("nodes", "id")))
    files: dict[str, Rows] = {"nodes": [["id"], ["a"], ["b"]], "edges": [["from", "to"], ["a", "b"], ["a", "x"]]}
    outcome = load_csvs(files, {"nodes": columns("id"), "edges": edges}, checks=(ForeignKeys(),))
    text = "Foreign key (to)=x in edges has no match in nodes.(id)."
    assert list(outcome.messages) == [Message(ERROR, text, "edges", "to", 1, "FK_VIOLATION")]


def test_keys_of_different_types_do_not_match() -> None:
    lines = (Column("order", foreign_key=("orders", "year")),)
    files: dict[str, Rows] = {"orders": [["id", "year"], ["a", 1]], "lines": [["order"], ["1"]]}
    outcome = load_csvs(files, {"orders": ORDERS, "lines": lines}, checks=(ForeignKeys(),))
    assert [message.code for message in outcome.messages] == ["FK_VIOLATION"]


def test_a_relation_whose_parent_is_not_there() -> None:
    files: dict[str, Rows] = {"lines": [["n", "order", "year"], [1, "a", 1]]}
    outcome = load_csvs(files, {"orders": ORDERS, "lines": LINES}, checks=(ForeignKeys(),))
    assert list(outcome.messages) == [Message(ERROR, "Table 'orders' not found.", "orders", code="TABLE_NOT_FOUND")]
    files = {"orders": [["id"], ["a"]], "lines": [["n", "order"], [1, "a"]]}
    outcome = load_csvs(files, {"orders": ORDERS, "lines": LINES}, checks=(ForeignKeys(),))
    assert [(message.code, message.message) for message in outcome.messages] == [
        ("COLUMN_NOT_FOUND", "Column 'year' not found in lines."),
        ("COLUMN_NOT_FOUND", "Column 'year' not found in orders."),
    ]


def test_messages_about_rows_are_bounded() -> None:
    rows: Rows = [["a"], *([1] for _ in range(MAX_ROWS_REPORTED + 7))]
    messages = said(rows, (Column("a", primary_key=True),), PrimaryKeys())
    assert len(messages) == MAX_ROWS_REPORTED + 1
    assert messages[-1] == Message(ERROR, "7 more row(s) of t with PK_DUPLICATE.", "t", "a", None, "PK_DUPLICATE")

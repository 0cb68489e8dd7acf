"""A whole load: which files it wants, what it tells, when it fails."""

from __future__ import annotations

from typing import cast

import msgspec
import pytest

from tests.algomancy.etl_files import columns, csv_file, found, json_file, load_one
from trialbook_algomancy.data_errors import Unreadable
from trialbook_algomancy.etl.checks import DEFAULT, NotEmpty, SchemaMatches
from trialbook_algomancy.etl.load import load
from trialbook_algomancy.etl.messages import Message, Severity
from trialbook_algomancy.etl.outcome import LoadRecord
from trialbook_algomancy.etl.transform import FillOptional
from trialbook_algomancy.schemas import Column, Dtype, EtlConfig, Extension, Group, Schema

ITEMS = Schema("items", "csv", columns("id", n="int64"))
PEOPLE = Schema("employees", "json", columns("id"))
CONFIG = EtlConfig((ITEMS, PEOPLE), required=frozenset({"employees"}))
GOOD = {"employees.json": json_file([{"id": "1"}]), "items.csv": csv_file([["id", "n"], ["a", 1], ["b", 2]])}


def test_tables_come_in_the_order_of_the_schemas() -> None:
    outcome = load(GOOD, CONFIG, "mine")
    assert outcome.success
    assert list(outcome.tables) == ["items", "employees"]
    assert outcome.record.dataset_name == "mine"
    assert outcome.record.counts == {"INFO": 2, "WARNING": 0, "ERROR": 0, "CRITICAL": 0}
    assert [(file.name, file.logical_name, file.extension, file.rows) for file in outcome.record.files] == [
        ("employees.json", "employees", "json", {"employees": 1}),
        ("items.csv", "items", "csv", {"items": 2}),
    ]
    assert [file.size_bytes for file in outcome.record.files] == [len(content) for content in GOOD.values()]


def test_the_record_is_json() -> None:
    record = load(GOOD, CONFIG, "mine").record
    assert msgspec.json.decode(msgspec.json.encode(record), type=LoadRecord) == record


@pytest.mark.parametrize(
    ("files", "detail"),
    [
        ({"items.csv": b"id;n\n"}, "Missing upload for 'employees'"),
        ({"foo.txt": b""}, "Unsupported file extension '.txt' for upload 'foo'. Supported: ['csv', 'json', 'xlsx']"),
        (GOOD | {"x/items.csv": b""}, "Duplicate upload for 'items'."),
        ({"employees.csv": b"id\n"}, "Upload 'employees' is '.csv', its schema is for '.json'."),
        (GOOD | {"items.csv": b""}, "No columns to parse from file"),
    ],
)
def test_what_ends_a_load_at_once(files: dict[str, bytes], detail: str) -> None:
    with pytest.raises(Unreadable) as error:
        load(files, CONFIG, "n")
    assert error.value.detail == detail


def test_an_upload_without_schema_is_ignored_with_a_warning() -> None:
    outcome = load({**GOOD, "other.xlsx": b"anything"}, CONFIG, "n")
    assert outcome.success
    assert found(outcome, "NO_SCHEMA") == [
        Message(Severity.WARNING, "No schema found for other.", "other", code="NO_SCHEMA")
    ]
    assert outcome.record.files[-1].rows == {}


def test_if_no_upload_has_a_schema_the_load_fails() -> None:
    outcome = load({"other.csv": b"a\n1\n"}, EtlConfig((ITEMS,)), "n")
    assert not outcome.success
    assert outcome.tables == {}
    assert [(message.severity, message.code) for message in outcome.messages] == [
        ("WARNING", "NO_SCHEMA"),
        ("CRITICAL", "EXTRACTION_FAILED"),
    ]


def test_only_critical_messages_stop_a_load() -> None:
    content = csv_file([["id", "extra"], ["a", 1], ["a", 2]])
    keyed = (Column("id", primary_key=True), Column("n", "int64"))
    outcome = load_one(content, keyed, checks=DEFAULT)
    assert outcome.success
    assert {message.code for message in outcome.messages} == {
        "MISSING_REQUIRED_COLUMN", "UNEXPECTED_COLUMN", "PK_DUPLICATE",
    }  # fmt: skip
    outcome = load_one(content, keyed, checks=(SchemaMatches(unexpected_column=Severity.CRITICAL),))
    assert not outcome.success
    assert outcome.tables == {}


def test_nothing_is_transformed_after_a_critical_message() -> None:
    seen = []

    def remember(tables: object, declared: object) -> list[Message]:
        seen.append(tables)
        return []

    schema = Schema("t", "csv", columns("a"))
    config = EtlConfig((schema,), checks=(NotEmpty(),), transformers=(remember,))
    assert not load({"t.csv": b"a\n"}, config, "n").success
    assert seen == []
    assert load({"t.csv": b"a\n1\n"}, config, "n").success
    assert len(seen) == 1


def test_optional_columns_are_filled_in_their_type() -> None:
    declared = (
        Column("a"),
        Column("n", "int64", optional=True, default=5),
        Column("m", "int64", optional=True),
        Column("d", "datetime64[ns]", optional=True, default="2026-01-02"),
        Column("c", "categorical", optional=True, default="x"),
        Column("f", "float64", optional=True, default=1),
        Column("there", optional=True, default="y"),
        Column("required"),
    )
    config = EtlConfig((Schema("t", "csv", declared),), transformers=(FillOptional(),))
    table = load({"t.csv": b"a;there\n1;\n2;z\n"}, config, "n").tables["t"]
    assert {name: str(dtype) for name, dtype in table.dtypes.items()} == {
        "a": "string", "there": "string", "n": "int64", "m": "Int64", "d": "datetime64[ns]",
        "c": "category", "f": "float64",
    }  # fmt: skip
    assert table["n"].tolist() == [5, 5]
    assert table["m"].isna().all()
    assert table["there"].isna().tolist() == [True, False]
    assert list(load({"t.csv": b"a\n"}, config, "n").tables["t"].columns) == ["a", "n", "m", "d", "c", "f", "there"]


def test_a_default_of_another_type_is_the_author_s_mistake() -> None:
    declared = (Column("a"), Column("n", "int64", optional=True, default="x"))
    config = EtlConfig((Schema("t", "csv", declared),), transformers=(FillOptional(),))
    with pytest.raises(ValueError, match="the default 'x' is no int64: 'x' is no number"):
        load({"t.csv": b"a\n1\n"}, config, "n")


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Column("a", dtype=cast("Dtype", "int32")), "unknown dtype 'int32'"),
        (lambda: Schema("t", cast("Extension", "txt"), columns("a")), "unknown extension 'txt'"),
        (lambda: Schema("t", "csv"), "either columns or groups"),
        (lambda: Schema("t", "json", columns("a"), (Group("g", columns("a")),)), "either columns or groups"),
        (lambda: Schema("t", "csv", groups=(Group("g", columns("a")),)), "a csv file holds one table"),
        (lambda: Schema("t", "json", groups=(Group("g", columns("a"), "p"),)), "exactly one group takes the root"),
        (lambda: Schema("t", "csv", columns("a", "a")), "a column is declared twice"),
        (lambda: Schema("t", "xlsx", groups=(Group("g", columns("a")),) * 2), "a group is declared twice"),
        (lambda: Schema("t", "csv", columns("a"), separator=";;"), "the separator is one character"),
        (lambda: EtlConfig((ITEMS, ITEMS)), "two schemas name the same file"),
        (lambda: EtlConfig((ITEMS,), frozenset({"x"})), "required without a schema: x"),
    ],
)  # fmt: skip
def test_mistakes_in_a_configuration_are_told_at_once(make: object, text: str) -> None:
    assert callable(make)
    with pytest.raises(ValueError, match=text):
        make()

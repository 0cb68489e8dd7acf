"""The JSON of data sources: its exact form, its errors, and that nothing is lost on the way there and back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest

from trialbook_algomancy.data import DataClassification, DataSource, Unreadable, tables_from_json, tables_json
from trialbook_algomancy.data_document import Metadata, creation_text, document

METADATA = {
    "id": "0b8e", "name": "example_data", "type": "master_data", "creation_datetime": "2026-01-15 10:30:00.123456",
}  # fmt: skip


def source(**tables: pd.DataFrame) -> DataSource:
    return DataSource("0b8e", "example_data", DataClassification.MASTER_DATA, METADATA["creation_datetime"], tables)


def body(metadata: object = METADATA, **members: object) -> bytes:
    return msgspec.json.encode({"metadata": metadata, **members})


def table(**members: object) -> dict[str, object]:
    return {"data": [{"a": 1}], "columns": ["a"], "dtypes": {"a": "int64"}, "index": [0]} | members


def reply(content: bytes) -> str:
    with pytest.raises(Unreadable) as error:
        DataSource.from_json(content)
    return error.value.detail


def restored(values: list[Any], dtype: str | None = None) -> pd.Series:
    dtypes = {} if dtype is None else {"dtypes": {"a": dtype}}
    one = {"data": [{"a": value} for value in values], "columns": ["a"], "index": list(range(len(values)))}
    return tables_from_json(msgspec.json.encode({"t": one | dtypes}))["t"]["a"]


def test_the_documented_form() -> None:
    frame = pd.DataFrame({"itemid": pd.array(["1001"], dtype="string"), "daily_picks": [45], "volume": [180.0]})
    assert source(sku_data=frame).to_json() == (
        b'{"metadata":{"id":"0b8e","name":"example_data","type":"master_data",'
        b'"creation_datetime":"2026-01-15 10:30:00.123456","tables":["sku_data"]},'
        b'"tables":{"sku_data":{"data":[{"itemid":"1001","daily_picks":45,"volume":180.0}],'
        b'"columns":["itemid","daily_picks","volume"],'
        b'"dtypes":{"itemid":"string","daily_picks":"int64","volume":"float64"},"index":[0]}}}'
    )


def test_the_form_of_the_creation_time() -> None:
    assert creation_text(datetime(2026, 1, 15, 10, 30, 0, 5, tzinfo=UTC)) == "2026-01-15 10:30:00.000005"


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        (b"", "Empty request body"),
        (b"x", "Expecting value: line 1 column 1 (char 0)"),
        (b'{"a":1,}', "Expecting property name enclosed in double quotes: line 1 column 8 (char 7)"),
        (b"\xff{}", "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"),
        (b"[" * 200_000, "JSON is nested too deeply"),
        *((text, "No metadata found in the JSON data") for text in (b"{}", b"[]", b"null", b"5", b'"a"', b"true")),
        (body({}), "No metadata found in the JSON data"),
        (body(None), "No metadata found in the JSON data"),
        (body([1]), "No metadata found in the JSON data"),
        *(
            (body({key: value for key, value in METADATA.items() if key != missing}), f"'{missing}'")
            for missing in METADATA
        ),
        (body({"x": 1}), "'type'"),
        (body(METADATA | {"type": "q"}), "'q' is not a valid DataClassification"),
        (body(METADATA | {"type": []}), "[] is not a valid DataClassification"),
        (body(METADATA | {"name": 5}), "metadata 'name' must be a string"),
        (body(METADATA | {"name": ""}), "metadata 'name' must be a non-empty string"),
        (body(tables=[]), "'tables' must be an object"),
        (body(tables={"t": 1}), "table 't' must be an object"),
        *(
            (body(tables={"t": {key: value for key, value in table().items() if key != missing}}), f"'{missing}'")
            for missing in ("data", "columns", "index")
        ),
        (body(tables={"t": table(dtypes=[1])}), "'dtypes' of table 't' must be an object"),
        (body(tables={"t": table(data={})}), "'data' of table 't' must be a list"),
        (body(tables={"t": table(data=[[1]])}), "row 0 of table 't' must be an object"),
        (body(tables={"t": table(columns=["a", "a"])}), "'columns' of table 't' must be different strings"),
        (body(tables={"t": table(columns=[1])}), "'columns' of table 't' must be different strings"),
        (body(tables={"t": table(data=[{"b": 1}])}), "row 0 of table 't' contradicts 'columns': 'a'"),
        (body(tables={"t": table(data=[{}])}), "row 0 of table 't' contradicts 'columns': 'a'"),
        (body(tables={"t": table(data=[{"a": 1, "b": 2}])}), "row 0 of table 't' contradicts 'columns': 'b'"),
        (body(tables={"t": table(index=[])}), "table 't' has 1 rows in 'data' but 0 labels in 'index'"),
        (body(tables={"t": table(index=[{}])}), "a label in 'index' of table 't' is no text and no number"),
        (body(tables={"t": table(index=[[[1]]])}), "a label in 'index' of table 't' is no text and no number"),
        (body(tables={"t": table(index=[[]])}), "the labels in 'index' of table 't' are of different kinds"),
    ],
)
def test_what_cannot_be_read(content: bytes, detail: str) -> None:
    assert reply(content) == detail


def test_a_lone_surrogate_is_no_text() -> None:
    content = body(tables={"t": table(data=[{"a": "X"}], dtypes={"a": "string"})}).replace(b'"X"', b'"\\ud800"')
    assert "surrogates not allowed" in reply(content)


def test_tables_and_types_may_be_missing() -> None:
    assert DataSource.from_json(body()).tables == {}
    one = {"data": [{"a": 1, "b": "x", "c": 1.5, "d": True}], "columns": ["a", "b", "c", "d"], "index": [0]}
    frame = DataSource.from_json(body(tables={"t": one})).tables["t"]
    assert [str(dtype) for dtype in frame.dtypes] == ["int64", "string", "float64", "bool"]


def test_unknown_members_are_ignored() -> None:
    read = DataSource.from_json(body(METADATA | {"tables": ["other"], "more": 1}, tables={"t": table(more=1)}))
    assert read.metadata.tables == ("t",)


@pytest.mark.parametrize(
    ("values", "dtype", "result", "cells"),
    [
        (["2026-01-02", "x", None], "datetime64[ns]", "datetime64[ns]", ["2026-01-02T00:00:00", None, None]),
        (["13/02/2026", "02.03.2026 10:00:00"], "datetime64[ns]", None, ["2026-02-13T00:00:00", "2026-03-02T10:00:00"]),
        (["9999-12-31"], "datetime64[ns]", "datetime64[ns]", [None]),
        (["2262-04-11T23:47:16"], "datetime64[ns]", None, ["2262-04-11T23:47:16"]),
        (["2262-04-11T23:47:16.854775"], "datetime64[ns]", None, ["2262-04-11T23:47:16.854775"]),
        (["2262-04-11T23:47:17", "1677-09-21T00:12:43"], "datetime64[ns]", None, [None, None]),
        (["1677-09-21T00:12:44"], "datetime64[ns]", None, ["1677-09-21T00:12:44"]),
        (["9999-12-31"], "datetime64[us]", "datetime64[us]", ["9999-12-31T00:00:00"]),
        (["2026-01-02T00:00:00+02:00"], "datetime", "datetime64[ns]", ["2026-01-01T22:00:00"]),
        (["2026-01-02T00:00:00.000000001"], "datetime64[ns]", None, ["2026-01-02T00:00:00.000000001"]),
        (["today", 5], "datetime64[ns]", "datetime64[ns]", [None, None]),
        (["b", "a", None], "category", "category", ["b", "a", None]),
        ([1, 2], "Int64", "Int64", [1, 2]),
        ([1, None], "int64", "Int64", [1, None]),
        ([1, None], "int8", "Int8", [1, None]),
        ([1, None], "uint16", "UInt16", [1, None]),
        ([1, 2], "INT32", "Int32", [1, 2]),
        ([1.0, "7"], "int64", "int64", [1, 7]),
        ([1.5], "int64", "float64", [1.5]),
        ([300], "int8", "int64", [300]),
        ([2**63, 2**64 - 1], "uint64", "uint64", [2**63, 2**64 - 1]),
        ([2**70], "int64", "object", [2**70]),
        ([1, None], "float64", "float64", [1.0, None]),
        ([0.1], "float32", "float32", [float(np.float32(0.1))]),
        (["1.5"], "float64", "float64", [1.5]),
        (["x"], "float64", "string", ["x"]),
        ([1, True, None, "001"], "string", "string", ["1", "True", None, "001"]),
        (["001"], "str", "string", ["001"]),
        ([True, None], "boolean", "boolean", [True, None]),
        ([True, None], "bool", "boolean", [True, None]),
        (["no"], "bool", "string", ["no"]),
        ([1, "a", [2], {"b": None}, None], "object", "object", [1, "a", [2], {"b": None}, None]),
        (["(0, 1]", None], "interval[int64, right]", "interval[float64, right]", ["(0.0, 1.0]", None]),
        (["P1DT0H0M0S"], "timedelta64[ns]", "timedelta64[ns]", ["P1DT0H0M0S"]),
        ([1], "V1000000000", "int64", [1]),
        ([1], "nonsense", "int64", [1]),
    ],
)
def test_columns_are_restored_by_their_type(
    values: list[Any], dtype: str, result: str | None, cells: list[Any]
) -> None:
    column = restored(values, dtype)
    assert str(column.dtype) == (result or dtype)
    rows = msgspec.json.decode(tables_json({"t": column.to_frame()}))["t"]["data"]
    assert [row["a"] for row in rows] == cells


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([1, None], "Int64"),
        ([1, 2.5, None], "float64"),
        ([None, None], "object"),
        ([True, None], "boolean"),
        ([True, 1], "object"),
        ([1, "a"], "object"),
        ([2**64], "object"),
        ([[1], [2]], "object"),
        ([], "object"),
        (["a", None], "string"),
    ],
)
def test_types_are_inferred_without_changing_numbers(values: list[Any], dtype: str) -> None:
    assert str(restored(values).dtype) == dtype


def test_nan_and_infinities_are_null_also_inside_of_cells() -> None:
    frame = pd.DataFrame({"f": [np.nan, np.inf], "o": [[np.nan], {"x": -np.inf}]})
    rows = msgspec.json.decode(tables_json({"t": frame}))["t"]["data"]
    assert rows == [{"f": None, "o": [None]}, {"f": None, "o": {"x": None}}]


def test_python_s_nan_in_a_body_is_missing() -> None:
    content = body(tables={"t": table(data=[{"a": 7}], dtypes={"a": "float64"})}).replace(b'"a":7', b'"a":NaN')
    assert DataSource.from_json(content).tables["t"]["a"].isna().all()


@pytest.mark.parametrize(
    "labels", [[0, 1, 2], [5, 3, 5], ["a", "b", None], [["a", 1], ["a", 2], ["b", 1]], [0.5, 1, 2]]
)
def test_row_labels_come_back(labels: list[Any]) -> None:
    one = {"data": [{"a": 1}] * 3, "columns": ["a"], "index": labels}
    read = tables_from_json(msgspec.json.encode({"t": one}))
    assert msgspec.json.decode(tables_json(read))["t"]["index"] == labels


def test_copies_share_the_bytes_of_their_tables() -> None:
    one = source(t=pd.DataFrame({"a": [1, 2]}))
    derived = one.derive("9c1f", "copy")
    assert (derived.id, derived.name, derived.type) == ("9c1f", "copy", DataClassification.DERIVED_DATA)
    assert derived.creation_datetime == one.creation_datetime
    tables_bytes = tables_json(derived.tables)
    assert tables_bytes == tables_json(one.tables)
    assert document(derived.metadata, tables_bytes) == derived.to_json()
    assert DataSource.stored(derived.metadata, tables_bytes).to_json() == derived.to_json()
    derived.tables["t"].loc[0, "a"] = 9
    assert one.tables["t"]["a"].tolist() == [1, 2]


def test_metadata_alone_is_a_document_without_tables() -> None:
    metadata = Metadata("1", "n", DataClassification.DUMMY_DATA, "2026-01-15 10:30:00.123456")
    assert DataSource.from_json(document(metadata, b"{}")).metadata == metadata


def test_a_column_twice_cannot_be_written() -> None:
    frame = pd.DataFrame([[1, 2]], columns=["a", "a"])
    with pytest.raises(ValueError, match="table 't' has two columns of the same name"):
        tables_json({"t": frame})


def test_a_cell_nested_too_deeply_cannot_be_written() -> None:
    cell: list[Any] = []
    for _ in range(100_000):
        cell = [cell]
    with pytest.raises(ValueError, match="nested too deeply"):
        tables_json({"t": pd.DataFrame({"a": pd.Series([cell], dtype=object)})})


def test_text_of_pandas_own_default_type_is_string_on_the_wire() -> None:
    frame = pd.DataFrame({"a": ["x", None], "d": pd.to_datetime(["2026-01-01", None])})
    written = msgspec.json.decode(tables_json({"t": frame}))["t"]
    assert written["dtypes"] == {"a": "string", "d": "datetime64[us]"}
    assert written["data"][1] == {"a": None, "d": None}


def test_many_rows_are_written_in_parts_that_fit_together() -> None:
    frame = pd.DataFrame({"a": range(12_345)})
    rows = msgspec.json.decode(tables_json({"t": frame}))["t"]["data"]
    assert rows == [{"a": number} for number in range(12_345)]

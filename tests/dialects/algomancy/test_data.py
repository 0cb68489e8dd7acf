"""Datasets: the JSON form, derivation, replacement, deletion."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.dialects.algomancy.client import Session, document

pytestmark = pytest.mark.integration


def test_a_document_comes_back_as_it_was_given(session: Session) -> None:
    given = document("kept", id="any text", type="derived_data")
    table = given["tables"]["items"]
    table["data"][1] |= {"itemid": "naïve ☃", "weight": None}
    table["columns"].append("when")
    table["dtypes"]["when"] = "datetime64[ns]"
    for row, when in zip(table["data"], ("2026-01-02T03:04:05", None, "2025-12-31T00:00:00"), strict=True):
        row["when"] = when
    assert session.call("POST", "/data/from-json", 201, json=given) == {"keys": ["kept"]}
    found = session.call("GET", "/data/kept")
    assert found["metadata"] == given["metadata"]
    assert found["tables"]["items"]["data"][0]["itemid"] == "0000"
    assert [row["weight"] for row in found["tables"]["items"]["data"]] == [0.5, None, 2.5]
    renamed = found | {"metadata": found["metadata"] | {"name": "again"}}
    assert session.call("POST", "/data/from-json", 201, json=renamed)["keys"] == ["kept", "again"]
    assert session.call("GET", "/data/again")["tables"] == found["tables"]


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"", "Empty request body"),
        (b"nonsense", "Expecting value: line 1 column 1 (char 0)"),
        (b"{}", "No metadata found in the JSON data"),
        (b'{"metadata": {}}', "No metadata found in the JSON data"),
        (b"[]", "No metadata found in the JSON data"),
        (b'"x"', "No metadata found in the JSON data"),
        (b"3", "No metadata found in the JSON data"),
        (b"null", "No metadata found in the JSON data"),
        (json.dumps({"metadata": {"name": "n", "id": "i", "creation_datetime": "c"}}).encode(), "'type'"),
        (
            json.dumps({"metadata": {"name": "n", "id": "i", "type": "q", "creation_datetime": "c"}}).encode(),
            "'q' is not a valid DataClassification",
        ),
    ],
)
def test_documents_that_cannot_be_read(session: Session, body: bytes, detail: str) -> None:
    assert session.detail("POST", "/data/from-json", 400, content=body) == detail
    assert session.keys() == []


def test_bytes_that_are_no_text(session: Session) -> None:
    assert "utf-8" in session.detail("POST", "/data/from-json", 400, content=b"\xff\xfe")


def test_tables_may_be_missing(session: Session) -> None:
    given: dict[str, Any] = {"metadata": document("bare")["metadata"]}
    session.call("POST", "/data/from-json", 201, json=given)
    assert session.call("GET", "/data/bare")["tables"] == {}


def test_a_name_in_use_is_replaced_in_its_place(session: Session) -> None:
    for key in ("first", "second"):
        session.add_data(key)
    assert session.add_data("first", rows=9) == ["first", "second"]
    assert len(session.call("GET", "/data/first")["tables"]["items"]["data"]) == 9


def test_scenarios_keep_the_version_that_they_were_created_with(session: Session) -> None:
    session.add_data("d", id="version one")
    old = session.create("d", "Slow", duration=1)
    session.add_data("d", id="version two")
    new = session.create("d", "Slow", duration=1)
    assert (old["input_data_id"], new["input_data_id"]) == ("version one", "version two")
    for scenario in (old, new):
        session.run(scenario)
    assert session.ended(old)["result"]["scenario_id"] == "version one"
    assert session.ended(new)["result"]["scenario_id"] == "version two"


def test_a_derived_dataset_is_independent_of_its_source(session: Session) -> None:
    session.add_data("source", type="master_data")
    assert session.call("POST", "/data/source/derive", 201, json={"new_key": "child"}) == {"keys": ["source", "child"]}
    source, child = session.call("GET", "/data/source"), session.call("GET", "/data/child")
    assert child["tables"] == source["tables"]
    assert child["metadata"] == source["metadata"] | {
        "id": child["metadata"]["id"], "name": "child", "type": "derived_data"
    }  # fmt: skip
    assert child["metadata"]["id"] != source["metadata"]["id"]
    for taken in ("child", "source"):
        detail = session.detail("POST", "/data/source/derive", 409, json={"new_key": taken})
        assert detail == f"Dataset '{taken}' already exists"
    assert session.detail("POST", "/data/none/derive", 404, json={"new_key": "x"}) == "Dataset 'none' not found"
    session.call("DELETE", "/data/source", 204)
    assert session.keys() == ["child"]
    assert session.call("GET", "/data/child") == child


def test_data_in_use_cannot_be_deleted(session: Session) -> None:
    session.add_data("used")
    scenario = session.create("used", "Slow")
    assert session.detail("DELETE", "/data/used", 409) == "Cannot delete data used in scenarios."
    session.call("DELETE", f"/scenarios/{scenario['id']}", 204)
    session.call("DELETE", "/data/used", 204)
    assert session.detail("DELETE", "/data/used", 404) == "Dataset 'used' not found"
    assert session.detail("GET", "/data/used", 404) == "Dataset 'used' not found"
    assert session.add_data("used") == ["used"]


def test_plain_data_declares_no_parameters(session: Session) -> None:
    session.add_data("d")
    assert session.call("GET", "/data/d/parameters") == {"name": "empty", "parameters": []}
    assert session.detail("GET", "/data/x/parameters", 404) == "Dataset 'x' not found"
    assert session.call("GET", "/data/d/messages") == {"messages": []}


def test_a_hundred_thousand_rows_block_nobody(session: Session) -> None:
    body = json.dumps(document("large", rows=100_000)).encode()
    sent, done = threading.Event(), threading.Event()
    answered: list[int] = []

    def poll() -> None:
        """Others ask, one after the other, from when all rows have been sent until they are answered for."""
        sent.wait()
        while not done.is_set():
            answered.append(session.api.http.get("/algomancy/api/v1/sessions").status_code)

    def pieces() -> Iterator[bytes]:
        yield from (body[start : start + 65_536] for start in range(0, len(body), 65_536))
        sent.set()

    poller = threading.Thread(target=poll)
    poller.start()
    try:
        session.call("POST", "/data/from-json", 201, content=pieces())
    finally:
        sent.set()
        done.set()
        poller.join()
    assert len(session.call("GET", "/data/large")["tables"]["items"]["data"]) == 100_000
    assert set(answered) == {200}
    assert len(answered) >= 8, "the gateway did nothing else meanwhile"

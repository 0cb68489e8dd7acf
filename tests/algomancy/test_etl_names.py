"""Names of uploads: what is kept of them, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trialbook_algomancy.data_errors import Unreadable
from trialbook_algomancy.etl.names import upload_name, upload_names


@pytest.mark.parametrize(
    ("given_name", "name", "logical_name", "extension"),
    [
        ("a.csv", "a.csv", "a", "csv"),
        ("a.b.csv", "a.b.csv", "a.b", "csv"),
        ("Sku Data.XLSX", "Sku Data.XLSX", "Sku Data", "xlsx"),
        ("../../etc/a.json", "a.json", "a", "json"),
        ("C:\\data\\a.json", "a.json", "a", "json"),
        ("x/y\\z.csv", "z.csv", "z", "csv"),
        ("/etc/passwd/é.csv", "é.csv", "é", "csv"),
    ],
)
def test_the_last_part_counts(given_name: str, name: str, logical_name: str, extension: str) -> None:
    found = upload_name(given_name)
    assert (found.name, found.logical_name, found.extension) == (name, logical_name, extension)


@pytest.mark.parametrize(
    "name",
    [
        *("", " ", ".", "..", "a/", "a/..", "a\\."),
        *("a\n.csv", "a\0.csv", "a\x7f.csv", "x\x01/a.csv", "\ud800.csv"),
        "a" * 252 + ".csv",
    ],
)
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(Unreadable, match="Invalid file name"):
        upload_name(name)


@pytest.mark.parametrize(
    ("name", "extension", "logical_name"),
    [
        ("foo.txt", ".txt", "foo"),
        ("foo.TXT", ".txt", "foo"),
        ("foo", "", "foo"),
        (".csv", "", ".csv"),
        ("a.csv.zip", ".zip", "a.csv"),
    ],
)
def test_unsupported_extensions(name: str, extension: str, logical_name: str) -> None:
    with pytest.raises(Unreadable) as error:
        upload_name(name)
    assert error.value.detail == (
        f"Unsupported file extension '{extension}' for upload '{logical_name}'. Supported: ['csv', 'json', 'xlsx']"
    )


def test_two_uploads_of_one_logical_name() -> None:
    with pytest.raises(Unreadable, match=r"^Duplicate upload for 'a'\.$"):
        upload_names(["a.csv", "x/a.json"])
    assert [name.logical_name for name in upload_names(["a.csv", "A.csv"])] == ["a", "A"]


@given(st.text(max_size=20).map(lambda text: text + ".csv"))
def test_no_name_leads_anywhere(given_name: str) -> None:
    try:
        name = upload_name(given_name).name
    except Unreadable:
        return
    assert not set(name) & set("/\\\0\n\r")
    assert name not in {".", ".."}

"""Tables that are read from the code are what the code says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.generated import MARK, TABLES, filled, problem_codes
from tests.docs.pages import PAGES


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_tables_are_current(page: Path) -> None:
    text = page.read_text()
    assert filled(text) == text, "run: python -m tests.docs.generated"


def test_every_table_stands_somewhere() -> None:
    named = {found["name"] for page in PAGES for found in MARK.finditer(page.read_text())}
    assert named == TABLES.keys()


def test_codes_are_found_with_their_status() -> None:
    codes = problem_codes()
    assert codes["run_not_found"] == "404"
    assert codes["name_taken"] == "409"
    assert codes["changed_meanwhile"] == "412"
    assert len(codes) > 40

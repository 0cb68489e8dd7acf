"""Links between pages lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import PAGES

LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.*)$", re.MULTILINE)


def anchors(text: str) -> set[str]:
    return {re.sub(r"[^\w\- ]", "", title).strip().lower().replace(" ", "-") for title in HEADING.findall(text)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_resolve(page: Path) -> None:
    for found in LINK.finditer(page.read_text()):
        target, _, anchor = found["target"].partition("#")
        if "://" in target:
            continue
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), f"{page.name} links to {found['target']}, which does not exist"
        if anchor:
            assert anchor in anchors(path.read_text()), f"{page.name}: {target or page.name} has no heading {anchor!r}"


def test_a_dead_link_is_seen() -> None:
    assert [found["target"] for found in LINK.finditer("see [this](docs/nothing.md#there)")] == [
        "docs/nothing.md#there"
    ]
    assert anchors("## What a run is\n") == {"what-a-run-is"}

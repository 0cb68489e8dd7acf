"""The pages of the documentation as text, and what is named in them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.style.source import ROOT

PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
FENCE = re.compile(r"^( *)```(?P<language>[^\n]*)\n(?P<code>.*?)^\1```", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"(?:^(?: {4}.*|[ ]*)\n)+", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page: its info string and its text."""

    page: str
    info: str
    code: str


def blocks() -> list[Block]:
    """All fenced blocks."""
    return [
        Block(path.name, found["language"].strip(), found["code"])
        for path in PAGES
        for found in FENCE.finditer(path.read_text())
    ]


def texts() -> dict[str, str]:
    """Name -> text of every page."""
    return {path.name: path.read_text() for path in PAGES}

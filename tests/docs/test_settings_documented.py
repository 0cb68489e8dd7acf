"""Every TRIALBOOK_ variable of the code stands in docs/deployment.md, and none stands there that the code forgot."""

from __future__ import annotations

import re

from tests.style.source import PRODUCT, ROOT, tracked_texts

VARIABLE = re.compile(r"TRIALBOOK_[A-Z][A-Z0-9_]*[A-Z0-9]")
PAGE = ROOT / "docs" / "deployment.md"
FOLDERS = tuple(f"{folder}/" for folder in (*PRODUCT, "scripts"))


def variables_of_the_code() -> dict[str, str]:
    """Variable -> a file that names it."""
    return {name: path for path, text in tracked_texts() if path.startswith(FOLDERS) for name in VARIABLE.findall(text)}


def test_all_are_documented() -> None:
    documented = set(VARIABLE.findall(PAGE.read_text()))
    missing = {name: path for name, path in variables_of_the_code().items() if name not in documented}
    assert not missing, f"docs/deployment.md does not mention {missing}"


def test_none_is_made_up() -> None:
    unknown = set(VARIABLE.findall(PAGE.read_text())) - variables_of_the_code().keys()
    assert not unknown, f"docs/deployment.md mentions what no code reads: {sorted(unknown)}"

"""The page's own profile, file by file: what it shows is what comes out."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.docs.pages import blocks
from trialbook.algomancy import load_profile
from trialbook.algomancy.testing import try_algorithm
from trialbook_algomancy.etl.load import load

PAGE = [block for block in blocks() if block.page == "algomancy.md"]


def block_with(text: str) -> str:
    [found] = [block.code for block in PAGE if text in block.code]
    return found


@pytest.fixture
def bakery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "bakery.py").write_text(block_with('title="Bakery"'))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "bakery", raising=False)
    return tmp_path / "bakery.py"


def test_the_bakery_bakes_what_the_page_says(bakery: Path) -> None:
    profile = load_profile(str(bakery))
    outcome = load({"loaves.csv": block_with("name;minutes;price").encode()}, profile.etl, "monday")
    assert outcome.success
    [algorithm] = profile.algorithms
    trial = try_algorithm(algorithm, outcome.tables, {"oven_minutes": 60}, kpis=profile.kpis)
    assert trial.error is None
    assert trial.result is not None
    assert trial.result["baked"] == ["brioche", "wheat"]
    assert trial.kpis == {"Turnover": 10.0}
    assert profile.autorun is True


def test_the_page_s_own_test_passes(bakery: Path) -> None:
    scope: dict[str, object] = {}
    exec(compile(block_with("def test_brioche"), "algomancy.md", "exec"), scope)
    test = scope["test_brioche_comes_first"]
    assert callable(test)
    test()

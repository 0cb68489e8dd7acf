"""What all attempts of a workload import is imported once in the fork server, which a broken module does not end."""

import logging
import os
import sys
from pathlib import Path

import pytest

from trialbook_runner.execute.zygote import _warm
from trialbook_runner.settings import THREAD_LIMITS


def test_the_module_is_there_and_saw_one_thread_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "warmed_module.py").write_text("import os\nTHREADS = os.environ['OMP_NUM_THREADS']\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in THREAD_LIMITS:
        monkeypatch.delenv(name, raising=False)
    _warm("warmed_module")
    assert sys.modules["warmed_module"].THREADS == "1"
    assert not set(THREAD_LIMITS) & set(os.environ)


def test_a_module_that_cannot_be_imported_is_left_to_the_attempt(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        _warm("no_such_module_anywhere")
    assert "no_such_module_anywhere" in caplog.text

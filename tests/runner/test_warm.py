"""What all attempts of a workload import is imported once in the fork server, which a broken module does not end."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from trialbook_runner.execute.environment import THREAD_LIMITS
from trialbook_runner.execute.zygote import _warm

LOADED = """
import importlib
from trialbook_runner.execute.environment import without_threads
from trialbook_runner.execute.linux import threads

with without_threads():
    importlib.import_module("trialbook_runner.workloads.algomancy_warm")
print(threads())
"""


def test_the_module_is_there_and_saw_one_thread_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "warmed_module.py").write_text("import os\nTHREADS = os.environ['OMP_NUM_THREADS']\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in THREAD_LIMITS:
        monkeypatch.delenv(name, raising=False)
    _warm("warmed_module")
    assert sys.modules["warmed_module"].THREADS == "1"
    assert not set(THREAD_LIMITS) & set(os.environ)


@pytest.mark.parametrize("profile", ["slotting", "conformance", "tours", "facilities"])
def test_what_all_scenarios_need_starts_no_threads(profile: str) -> None:
    """Forks of a process with threads may hang: a lock that one of them holds is never released in the fork."""
    known = {name: value for name, value in os.environ.items() if name not in THREAD_LIMITS}
    env = {**known, "TRIALBOOK_ALGOMANCY_PROFILE": profile}
    done = subprocess.run([sys.executable, "-c", LOADED], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1"]


def test_a_module_that_cannot_be_imported_is_left_to_the_attempt(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        _warm("no_such_module_anywhere")
    assert "no_such_module_anywhere" in caplog.text

"""The command line itself: help, version, wrong usage, and how little it imports."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from trialbook_deploy.cli import COMMANDS, show_anything


def trialbook(*arguments: str) -> subprocess.CompletedProcess[str]:
    env = os.environ | {"TERM": "dumb", "COLUMNS": "120"}
    return subprocess.run(
        [sys.executable, "-m", "trialbook_deploy", *arguments], capture_output=True, text=True, timeout=60, env=env
    )


def test_a_terminal_that_lacks_a_character_gets_it_escaped() -> None:
    written = io.BytesIO()
    terminal = io.TextIOWrapper(written, "latin-1")
    show_anything(terminal)
    terminal.write("caf\u00e9 \U0001f363")
    terminal.flush()
    assert written.getvalue() == b"caf\xe9 \\U0001f363"


def test_help_names_every_command() -> None:
    told = trialbook("--help")
    assert told.returncode == 0
    for name in COMMANDS:
        assert f" {name} " in told.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str) -> None:
    assert f"trialbook {name}" in " ".join(trialbook(name, "--help").stdout.split())


def test_the_version_is_told() -> None:
    assert trialbook("--version").stdout == "trialbook 0.1.0\n"


def test_wrong_usage_is_exit_code_2() -> None:
    wrong = trialbook("up", "--port", "70000")
    assert wrong.returncode == 2
    assert "less than or equal to 65535" in wrong.stderr
    assert trialbook("nonsense").returncode == 2


def test_a_log_level_that_does_not_exist_starts_nothing(tmp_path: Path) -> None:
    wrong = trialbook("up", "--log-level", "loud", "--data-dir", str(tmp_path / "data"))
    assert (wrong.returncode, (tmp_path / "data").exists()) == (2, False)
    assert "debug, info, warning, error" in wrong.stderr


def test_help_says_where_the_data_is_by_default() -> None:
    assert "[default: (~/.local/share/trialbook)]" in trialbook("up", "--help").stdout


def test_starting_imports_no_server_library() -> None:
    source = (
        "import sys; from trialbook_deploy.cli import build; build(('up',)); import trialbook_deploy.keeper; "
        "print([m for m in ('fastapi', 'pydantic', 'duckdb', 'pyarrow', 'nats', 'httpx', 'rich') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[]\n"

"""Every `trialbook` command and option that a page names exists."""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest
import typer.main

from tests.docs.pages import texts
from trialbook_deploy.cli import build

CALL = re.compile(r"(?:^|[\s`(/])trialbook ([a-z][a-z-]*)([^\n`|>#)]*)")
PROSE = {"import"}  # `from trialbook import ...`


def calls(text: str) -> list[tuple[str, list[str]]]:
    """Subcommand and options of everything that looks like a call."""
    found = []
    for command, rest in CALL.findall(text):
        try:
            words = shlex.split(rest)
        except ValueError:  # a quotation that goes on in the next line
            words = rest.split()
        options = [word.partition("=")[0] for word in words if re.fullmatch(r"--?[a-z][a-z-]*(=.*)?", word)]
        found.append((command, options))
    return found


def known() -> dict[str, set[str]]:
    """Subcommand -> its options."""
    group = typer.main.get_command(build())
    return {name: options(command) for name, command in group.commands.items()}  # type: ignore[attr-defined]


def options(command: Any) -> set[str]:
    """Of a command, or of all commands of a group."""
    below = [options(one) for one in getattr(command, "commands", {}).values()]
    own = {opt for param in command.params for opt in (*param.opts, *param.secondary_opts)}
    return own.union({"--help"}, *below)


@pytest.mark.parametrize("page", texts())
def test_commands_and_options_exist(page: str) -> None:
    commands = known()
    for command, options in calls(texts()[page]):
        if command in PROSE:
            continue
        assert command in commands, f"{page}: there is no `trialbook {command}`"
        wrong = [option for option in options if option not in commands[command]]
        assert not wrong, f"{page}: `trialbook {command}` has no {wrong}"


def test_calls_are_found() -> None:
    assert calls('run `trialbook rebuild --check` and\n    .venv/bin/trialbook sql "SELECT 1" -n 5\n') == [
        ("rebuild", ["--check"]),
        ("sql", ["-n"]),
    ]

"""The command line `trialbook`. Only the module of the command that is asked for is imported."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.metadata import version
from io import TextIOWrapper
from keyword import iskeyword
from typing import Annotated, TextIO

import typer

from trialbook_deploy.errors import DeployError

# Each is a module of trialbook_deploy.commands with `register(app)`, a dash being an underscore there, and a
# keyword with one at its end; the order is
# that of --help.
COMMANDS = (
    "up", "doctor", "run", "runs", "logs", "cancel", "rerun", "sql", "events", "replay", "diff", "audit",
    "rebuild", "export", "import", "seal",
    "segments", "erase",
    "package", "nats", "asyncapi", "llm-mock", "marketplace",
)  # fmt: skip

HELP = """Run experiments and keep their record.

Start here: `trialbook up` brings everything up on this machine and prints its address.
"""


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"trialbook {version('trialbook')}")
        raise typer.Exit


def _root(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options of `trialbook` itself."""


def build(names: tuple[str, ...] = COMMANDS) -> typer.Typer:
    """The application with the commands `names`."""
    app = typer.Typer(
        name="trialbook", help=HELP, no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False
    )
    app.callback(help=HELP)(_root)
    for name in names:
        module = f"{name}_" if iskeyword(name) else name.replace("-", "_")
        import_module(f"trialbook_deploy.commands.{module}").register(app)
    return app


def show_anything(stream: TextIO) -> None:
    """Write what the terminal's encoding lacks as an escape, instead of ending in the middle of a table."""
    if isinstance(stream, TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")


def main() -> None:
    """Run the command line. Exit code 1 with a message for what the user can mend, 2 for wrong usage."""
    show_anything(sys.stdout)
    asked = sys.argv[1] if len(sys.argv) > 1 else ""
    app = build((asked,) if asked in COMMANDS else COMMANDS)
    try:
        app(prog_name="trialbook")
    except DeployError as error:
        typer.echo(f"trialbook: {error}", err=True)
        sys.exit(1)

"""`trialbook asyncapi`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trialbook_deploy.commands.options import teach

HELP = """Print the AsyncAPI 3 document of everything that is said and answered on NATS.

It describes every typed question and its answer, every fact and every signal, with JSON Schemas made from the code. A
running gateway serves the same at /asyncapi.yaml.

\b
Examples:
  trialbook asyncapi > asyncapi.yaml
  trialbook asyncapi --output docs/asyncapi.yaml
"""


def asyncapi(
    output: Annotated[Path | None, typer.Option(help="Write to this file instead of the standard output.")] = None,
) -> None:
    """Print or write the document."""
    from trialbook_deploy.errors import DeployError

    try:
        from trialbook_deploy.asyncapi import text
    except ModuleNotFoundError as error:
        raise DeployError(f"{error.name} is not installed; install trialbook[server]") from error

    if output is None:
        typer.echo(text(), nl=False)
        return
    try:
        output.write_text(text())
    except OSError as error:
        raise DeployError(f"cannot write {output}: {error.strerror}") from error


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(help=teach(HELP))(asyncapi)

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
  trialbook asyncapi --schemas schemas/      # one JSON Schema per event version, as GET /v1/schemas/{type} serves them
"""


def asyncapi(
    output: Annotated[Path | None, typer.Option(help="Write to this file instead of the standard output.")] = None,
    schemas: Annotated[
        Path | None, typer.Option(help="Write the JSON Schemas of all event versions to this folder instead.")
    ] = None,
) -> None:
    """Print or write the document."""
    from trialbook_deploy.errors import DeployError

    try:
        from trialbook_deploy.asyncapi import events, text
    except ModuleNotFoundError as error:
        raise DeployError(f"{error.name} is not installed; install trialbook[server]") from error

    if output is None and schemas is None:
        typer.echo(text(), nl=False)
        return
    try:
        if schemas is not None:
            schemas.mkdir(exist_ok=True)
            for type_, schema in events.event_schemas().items():
                (schemas / f"{type_}.json").write_text(events.text_of(schema))
        if output is not None:
            output.write_text(text())
    except OSError as error:
        raise DeployError(f"cannot write {error.filename}: {error.strerror}") from error


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(help=teach(HELP))(asyncapi)

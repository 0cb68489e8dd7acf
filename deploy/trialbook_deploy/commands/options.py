"""Options that several commands share, spelt once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Url = Annotated[
    str | None,
    typer.Option("--url", envvar="TRIALBOOK_URL", help="Address of the gateway. [default: the stack of --data-dir]"),
]
Workspace = Annotated[
    str | None,
    typer.Option("--workspace", "-w", envvar="TRIALBOOK_WORKSPACE", help="Whose runs. [default: the gateway's, main]"),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        envvar="TRIALBOOK_DATA_DIR",
        help="Data directory of a stack on this machine. [default: ~/.local/share/trialbook]",
    ),
]
NatsUrl = Annotated[
    str | None,
    typer.Option("--nats-url", envvar="TRIALBOOK_NATS_URL", help="Address of NATS. [default: the stack of --data-dir]"),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of text for people.")]

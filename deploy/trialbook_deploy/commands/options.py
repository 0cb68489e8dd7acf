"""Options that several commands share, spelt once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

RAW = "\b\n"


def teach(text: str) -> str:
    """A help text whose paragraphs are wrapped to the terminal; one that begins with a backspace stays as it is."""
    paragraphs = (part if part.startswith(RAW) else " ".join(part.split()) for part in text.strip().split("\n\n"))
    return "\n\n".join(paragraphs)


Url = Annotated[
    str | None,
    typer.Option(
        "--url", envvar="TRIALBOOK_URL", help="Address of the gateway.", show_default="the stack of --data-dir"
    ),
]
Workspace = Annotated[
    str | None,
    typer.Option(
        "--workspace", "-w", envvar="TRIALBOOK_WORKSPACE", help="Which one.", show_default="the gateway's, main"
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        envvar="TRIALBOOK_DATA_DIR",
        help="Data directory of a stack on this machine.",
        show_default="~/.local/share/trialbook",
    ),
]
NatsUrl = Annotated[
    str | None,
    typer.Option(
        "--nats-url", envvar="TRIALBOOK_NATS_URL", help="Address of NATS.", show_default="the stack of --data-dir"
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of text for people.")]

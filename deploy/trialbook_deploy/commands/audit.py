"""`trialbook audit`: what the ledger can tell and prove."""

from __future__ import annotations

import typer

from trialbook_deploy.commands import audit_trail
from trialbook_deploy.commands.options import teach

HELP = """What the ledger can tell and prove to somebody who does not trust us."""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help=teach(HELP), no_args_is_help=True)
    audit_trail.register(group)
    app.add_typer(group, name="audit")

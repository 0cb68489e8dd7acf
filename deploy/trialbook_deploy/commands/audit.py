"""`trialbook audit`: what the ledger can tell and prove."""

from __future__ import annotations

import typer

from trialbook_deploy.commands import audit_checkpoint, audit_key, audit_trail, audit_verify, audit_witness
from trialbook_deploy.commands.options import teach

HELP = """What the ledger can tell and prove to somebody who does not trust us."""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help=teach(HELP), no_args_is_help=True)
    for module in (audit_trail, audit_verify, audit_checkpoint, audit_key, audit_witness):
        module.register(group)
    app.add_typer(group, name="audit")

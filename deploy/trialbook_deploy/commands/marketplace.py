"""`trialbook marketplace`: its experiments from a terminal, with the original's commands and defaults."""

from __future__ import annotations

import typer

from trialbook_deploy.commands import marketplace_reports, marketplace_run, marketplace_serve
from trialbook_deploy.commands.options import teach

HELP = """Run marketplace experiments and look at their results.

The commands and defaults are the original's; they talk to a running stack (`trialbook up`), which keeps the history.

\b
Examples:
  trialbook marketplace run mexican_3_9 --experiment-name first
  trialbook marketplace run ./my_dataset --search-bandwidth 5 --export
  trialbook marketplace analyze first
  trialbook marketplace list-experiments
"""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)
    marketplace_run.register(group)
    marketplace_reports.register(group)
    marketplace_serve.register(group)
    app.add_typer(group, name="marketplace", help=teach(HELP))

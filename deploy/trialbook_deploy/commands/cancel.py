"""`trialbook cancel`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from trialbook_deploy.commands.options import AsJson, DataDir, Url, Workspace, teach

if TYPE_CHECKING:
    from trialbook.client import AsyncClient

HELP = """Cancel runs: a waiting one at once, a running one within a second.

\b
Examples:
  trialbook cancel last
  trialbook cancel my_experiment --reason "wrong dataset"
  trialbook cancel 01931a7e 01931a7f --wait

Exit codes: 0 done, 1 it did not work (an ended run cannot be cancelled), 2 wrong usage.
"""


def cancel(
    run: Annotated[list[str], typer.Argument(help="Ids, unique parts of ids, names, or `last`.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; kept with the run.")] = "",
    wait: Annotated[bool, typer.Option("--wait", help="Return only when they have ended.")] = False,
    url: Url = None,
    workspace: Workspace = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Cancel runs."""
    from trialbook_deploy.commands.kit import with_client
    from trialbook_deploy.commands.which import run_id

    async def work(client: AsyncClient) -> int:
        from trialbook_deploy.commands.show import console, write_json

        views = []
        for text in run:
            view = await client.runs.cancel(await run_id(client, text), reason)
            views.append(await client.runs.wait(view.id) if wait else view)
        if as_json:
            write_json(views)
            return 0
        for view in views:
            asked = "asked to end" if view.status == "running" else view.status
            console().print(f"{view.id} {asked}", markup=False)
        return 0

    with_client(url, data_dir, workspace, work)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(help=teach(HELP))(cancel)

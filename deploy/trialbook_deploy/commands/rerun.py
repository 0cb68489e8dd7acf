"""`trialbook rerun`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from trialbook_deploy.commands.options import AsJson, DataDir, Url, Workspace, teach

if TYPE_CHECKING:
    from trialbook.client import AsyncClient

HELP = """Execute an ended run again with its recorded effects only, and say whether it ends the same.

No model and no other service is called: what was not recorded is a divergence. The replay is a new run. (To see its
facts again, as they were: `trialbook replay --aggregate ID`.)

\b
Examples:
  trialbook rerun last
  trialbook rerun my_experiment --json | jq .divergence

Exit codes: 0 it ended the same, 1 it diverged or could not be replayed, 2 wrong usage.
"""


def rerun(
    run: Annotated[str, typer.Argument(help="An id, a unique part of one, a name, or `last`.")],
    url: Url = None,
    workspace: Workspace = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Execute a run again."""
    from trialbook_deploy.commands.kit import Exit, complain, with_client
    from trialbook_deploy.commands.which import run_id

    async def work(client: AsyncClient) -> int:
        from trialbook_deploy.commands.show import console, harmless, write_json

        accepted = await client.runs.replay(await run_id(client, run))
        ended = await client.runs.wait(accepted.id)
        if ended.status != "completed":
            error = ended.error or {}
            complain(f"the replay {ended.id} {ended.status}: {error.get('detail') or ended.cancel_reason or ''}")
            return Exit.FAILED
        if as_json:
            write_json(ended.result)
        elif ended.result["equal"]:
            console().print(f"equal: {ended.id} ended like {ended.result['replay_of']}", markup=False)
        else:
            divergence = ended.result["divergence"]
            at = f" at {divergence['key']}" if divergence.get("key") else ""
            console().print(f"diverged ({divergence['kind']}{at}): {divergence['difference']}", markup=False)
        if refused := ended.result["network"]["refused"]:
            complain(f"it wanted to reach {', '.join(map(harmless, refused))}, and a replay has no network")
        return Exit.OK if ended.result["equal"] else Exit.FAILED

    with_client(url, data_dir, workspace, work)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(help=teach(HELP))(rerun)

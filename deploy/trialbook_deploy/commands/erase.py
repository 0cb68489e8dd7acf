"""`trialbook erase`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from trialbook_deploy.commands.options import AsJson, DataDir, Url, Workspace, teach

if TYPE_CHECKING:
    from trialbook.client import AsyncClient, ErasureView

POLL_SECONDS = 0.2
WAITING_SECONDS = 1.0

HELP = """Erase the personal data of a data subject, for good.

Facts that were created under the header Trialbook-Data-Subject hold personal data sealed under a key of that person's
own. The key is destroyed, and log lines, metrics, rows and stored files of theirs are overwritten. The facts stay as
they are, so the ledger's proofs hold; what was in them cannot be read by anybody any more.

\b
Examples:
  trialbook erase participant-17 --reason "consent withdrawn"
  trialbook erase participant-17 --yes --json

It is refused while runs of theirs are not finished. Those that were ordered in the very moment are cancelled; which
ones it waits for is said, and Ctrl-C ends the waiting only.

The reason stays readable in the ledger: it must name nobody. Exports made before still hold what they held.

Exit codes: 0 erased, 1 it did not work (runs of theirs are not finished, nothing is known of them), 2 wrong usage.
"""


def erase(
    data_subject: Annotated[str, typer.Argument(help="What was given as Trialbook-Data-Subject.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; kept in clear, so it must name nobody.")] = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    url: Url = None,
    workspace: Workspace = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Erase a data subject."""
    from trialbook_deploy.commands.kit import complain, with_client

    if not yes:
        typer.confirm("This cannot be undone. Erase everything of this data subject?", abort=True)

    async def work(client: AsyncClient) -> int:
        from trialbook_deploy.commands.show import console, write_json

        erasure = await client.erasures.erase(data_subject, reason)
        told: list[str] = []
        while erasure.status == "erasing":
            await asyncio.sleep(WAITING_SECONDS if told else POLL_SECONDS)
            erasure = await client.erasures.get(erasure.id)
            if erasure.waits_for and erasure.waits_for != told:
                told = erasure.waits_for
                complain(f"it waits for runs that were cancelled and have not ended: {', '.join(told)}")
        if as_json:
            write_json([erasure])
        else:
            console().print(_told(erasure), markup=False)
        return 0

    with_client(url, data_dir, workspace, work)


def _told(erasure: ErasureView) -> str:
    return (
        f"erased at {erasure.shredded_at}: the key of {erasure.aggregates} aggregates, {erasure.signals} messages of "
        f"signals, {erasure.blobs} stored files (erasure {erasure.id})"
    )


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(help=teach(HELP))(erase)

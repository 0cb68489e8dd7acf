"""`trialbook logs`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from trialbook_deploy.commands.options import AsJson, DataDir, Url, Workspace, teach

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from trialbook.client import AsyncClient
    from trialbook.queries import LogView

LEVELS = ("debug", "info", "warning", "error")
HELP = """Show a run's log lines: the newest ones, or with -f also those to come until it ends.

A broken connection is resumed where it broke off: no line is repeated or missed.

\b
Examples:
  trialbook logs last
  trialbook logs -f my_experiment
  trialbook logs last --all --level warning
  trialbook logs last --all --json > lines.jsonl

Exit codes: 0 done, 1 it did not work, 2 wrong usage, 130 Ctrl-C.
"""


def logs(
    run: Annotated[str, typer.Argument(help="Its id, a unique part of it, its name, or `last`.")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Stay and show new lines until the run ends.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, max=1000, help="How many of the newest lines.")] = 100,
    everything: Annotated[bool, typer.Option("--all", help="All lines from the first one on.")] = False,
    level: Annotated[str, typer.Option("--level", help=f"The least level, one of {', '.join(LEVELS)}.")] = "",
    logger: Annotated[str, typer.Option("--logger", help="Only lines of this speaker (an agent, a stream).")] = "",
    contains: Annotated[str, typer.Option("--contains", help="Only lines with this text (not with -f).")] = "",
    url: Url = None,
    workspace: Workspace = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Show log lines."""
    from trialbook_deploy.commands.kit import choose, usage_error, with_client
    from trialbook_deploy.commands.which import run_id

    choose(level or "info", LEVELS, "--level")
    if follow and contains:
        usage_error("--contains does not work with -f; pipe the lines through grep.")

    async def work(client: AsyncClient) -> int:
        from trialbook_deploy.commands.view import write_log

        id_ = await run_id(client, run)
        source = _lines(client, id_, follow, None if everything else lines, level, logger, contains)
        async for line in source:
            write_log(line, as_json)
        return 0

    with_client(url, data_dir, workspace, work)


async def _lines(
    client: AsyncClient, run: str, follow: bool, newest: int | None, level: str, logger: str, contains: str
) -> AsyncIterator[LogView]:
    """The lines asked for; `newest` None: from the first one on."""
    if newest is None and not follow:
        async for line in client.runs.iterate_logs(run, level=level, logger=logger, contains=contains):
            yield line
        return
    after = 0
    if newest is not None:
        page = await client.runs.logs(run, level=level, logger=logger, contains=contains, limit=max(1, newest))
        for line in page.items[len(page.items) - min(newest, len(page.items)) :]:
            yield line
        after = page.items[-1].cursor if page.items else 0
    if not follow:
        return
    async for line in client.runs.follow_logs(run, after=after, level=level):
        if not logger or line.logger == logger:
            yield line


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(help=teach(HELP))(logs)

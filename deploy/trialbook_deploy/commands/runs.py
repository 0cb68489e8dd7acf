"""`trialbook runs`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from trialbook_deploy.commands.options import AsJson, DataDir, Url, Workspace, teach

if TYPE_CHECKING:
    from trialbook.client import AsyncClient
    from trialbook.views import RunView

STATUSES = ("created", "queued", "running", "paused", "completed", "failed", "cancelled")
COLUMNS = ("id", "status", "workload", "name", "progress", "created", "took")
HELP = """List runs, newest first.

Filters are combined with and; --status and --label may be given several times.

\b
Examples:
  trialbook runs
  trialbook runs --status failed --status cancelled --limit 100
  trialbook runs --workload marketplace --label team=a
  trialbook runs --search mexican --json | jq -r '.items\\[].id'

Exit codes: 0 done, 1 it did not work, 2 wrong usage.
"""


def runs(
    status: Annotated[list[str] | None, typer.Option("--status", "-s", help=f"One of {', '.join(STATUSES)}.")] = None,
    workload: Annotated[str, typer.Option("--workload", help="Only runs of this workload.")] = "",
    label: Annotated[list[str] | None, typer.Option("--label", "-l", help="Only runs with this label, k=v.")] = None,
    search: Annotated[str, typer.Option("--search", "-q", help="Part of id, name, title or workload.")] = "",
    parent: Annotated[str, typer.Option("--parent", help="Only children of this run (id).")] = "",
    since: Annotated[str, typer.Option("--since", help="Only runs created after this time (RFC 3339) or date.")] = "",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="How many at most.")] = 20,
    everything: Annotated[bool, typer.Option("--all", help="All of them; --limit does not count.")] = False,
    url: Url = None,
    workspace: Workspace = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """List runs."""
    from trialbook_deploy.commands.kit import usage_error, with_client
    from trialbook_deploy.commands.values import pairs

    unknown = sorted(set(status or ()) - set(STATUSES))
    if unknown:
        usage_error(f"--status {unknown[0]!r} is none of {', '.join(STATUSES)}.")
    labels = pairs(label or [], "--label")

    async def work(client: AsyncClient) -> int:
        if everything:
            found = [
                run
                async for run in client.runs.iterate(
                    status=status or (), workload=workload, labels=labels, search=search, parent=parent,
                    created_after=since, brief=not as_json,
                )
            ]  # fmt: skip
            more = False
        else:
            page = await client.runs.page(
                status=status or (), workload=workload, labels=labels, search=search, parent=parent,
                created_after=since, limit=limit, brief=not as_json,
            )  # fmt: skip
            found, more = page.items, page.next_cursor is not None
        _write(found, more, as_json)
        return 0

    with_client(url, data_dir, workspace, work)


def _write(found: list[RunView], more: bool, as_json: bool) -> None:
    from trialbook_deploy.commands.show import console, write_json, write_table

    if as_json:
        write_json({"items": found, "more": more})
        return
    if not found:
        console(err=True).print("No runs. Submit one: trialbook run noop")
        return
    write_table(COLUMNS, [_row(run) for run in found], right=frozenset({"took"}))
    if more:
        console(err=True).print("... and more: --limit N or --all")


def _row(run: RunView) -> list[str | None]:
    from trialbook_deploy.commands.values import duration_text, progress_text

    name = run.name or run.title or None
    took = duration_text(run.started_at, run.finished_at)
    return [run.id, run.status, run.workload, name, progress_text(run.progress), run.created_at[:19] + "Z", took]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(help=teach(HELP))(runs)

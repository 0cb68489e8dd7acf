"""`trialbook audit trail`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trialbook_deploy.commands.options import AsJson, DataDir, Url, Workspace, teach

if TYPE_CHECKING:
    from trialbook.client import AsyncClient

HELP = """Tell the story of one thing: who did what, when, why and where, in the order of the ledger.

The number in front is the place in the ledger, by which the fact is proved. With --html the story is written as a page
of its own that can be kept or sent.

\b
Examples:
  trialbook audit trail last
  trialbook audit trail my_experiment
  trialbook audit trail <request id>
  trialbook audit trail <dataset id> --json | jq .chapters[].what
  trialbook audit trail last --html story.html

Exit codes: 0 done, 1 it did not work (also: nothing has that id), 2 wrong usage.
"""
HTML = "text/html"


def trail(
    subject: Annotated[
        str,
        typer.Argument(
            metavar="ID",
            help="Id or name of a run, file, dataset, model or workspace, of a request or a fact; or `last`, a run.",
        ),
    ],
    html: Annotated[Path | None, typer.Option("--html", help="Write the story as a page to this file.")] = None,
    url: Url = None,
    workspace: Workspace = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Tell a story."""
    from trialbook_deploy.commands.kit import Exit, with_client
    from trialbook_deploy.commands.show import write_json
    from trialbook_deploy.commands.which import LAST, run_id

    async def work(client: AsyncClient) -> int:
        id_ = await run_id(client, subject) if subject == LAST else subject
        if html is not None:
            html.write_text(await client.ledger.trail_page(id_), encoding="utf-8")
            return Exit.OK
        story = await client.ledger.trail(id_)
        if as_json:
            write_json(story)
        else:
            _write(story)
        return Exit.OK

    with_client(url, data_dir, workspace, work)


def _write(story: dict[str, Any]) -> None:
    from rich.text import Text

    from trialbook_deploy.commands.show import STATUS_STYLES, console, harmless

    out = console()
    out.print(
        Text(harmless(f"{story['subject']} {story['name'] or story['id']} in workspace {story['workspace']}"), "bold")
    )
    for chapter in story["chapters"]:
        where = chapter["where"]
        place = [
            where.get("runner"),
            f"attempt {where['attempt']}" if where.get("attempt") else None,
            where.get("sandbox"),
        ]
        told = ", ".join(part for part in place if part)
        when = f" {chapter['after_ms'] / 1000:>+10.3f} s  "
        out.print(Text.assemble(
            (f"{chapter['sequence']:>8} ", "dim"), (chapter["time"], "dim"), (when, "cyan"),
            (harmless(chapter["who"]), "magenta"), "  ", harmless(chapter["what"]),
            (f"  [{harmless(told)}]" if told else "", "dim"),
            (f"  request {harmless(chapter['correlation'])}" if chapter["correlation"] else "", "dim"),
        ))  # fmt: skip
    if story["related"]:
        out.print(Text("related", "bold"))
    for one in story["related"]:
        through = f" through {one['through']}" if one.get("through") else ""
        out.print(Text.assemble(
            f"  {one['role']:<12} {one['kind']:<8} ", harmless(f"{one['id']} {one.get('name', '')}"), " ",
            (one.get("status", ""), STATUS_STYLES.get(one.get("status", ""), "")), (harmless(through), "dim"),
        ))  # fmt: skip


def register(group: typer.Typer) -> None:
    """Add the command to `trialbook audit`."""
    group.command("trail", help=teach(HELP))(trail)

"""`trialbook events`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from trialbook_deploy.commands.options import AsJson, DataDir, Url, Workspace, teach

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from trialbook.client import AsyncClient, Fact

SHOWN_DATA = 200
NEWEST = """
SELECT min(sequence) FROM (
    SELECT sequence FROM facts
    WHERE (? = '' OR contains(?, ',' || type || ',')) AND (? = '' OR kind = ?) AND (? = '' OR aggregate = ?)
    ORDER BY sequence DESC LIMIT ?)
"""
HELP = """Show the ledger: every fact about every run, dataset, file and model of the workspace.

The number in front is the fact's place in the ledger; give it to --after to go on from there.

\b
Examples:
  trialbook events
  trialbook events -f
  trialbook events --run last
  trialbook events --after 0 --all --type run.failed.v1 --json
  trialbook events -f --kind run --json | jq .event.type

Exit codes: 0 done, 1 it did not work, 2 wrong usage, 130 Ctrl-C.
"""


def events(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Stay and show new facts until Ctrl-C.")] = False,
    after: Annotated[
        int | None, typer.Option("--after", min=0, help="Only facts after this place.", show_default="the newest ones")
    ] = None,
    count: Annotated[int, typer.Option("--count", "-n", min=0, max=1000, help="How many at most.")] = 20,
    everything: Annotated[bool, typer.Option("--all", help="All of them; --count does not count.")] = False,
    types: Annotated[list[str] | None, typer.Option("--type", help="Only this type, such as run.failed.v1.")] = None,
    kind: Annotated[str, typer.Option("--kind", help="Only run, workspace, file, dataset, model or name.")] = "",
    run: Annotated[str, typer.Option("--run", help="Only this run: id, unique part of it, name or `last`.")] = "",
    url: Url = None,
    workspace: Workspace = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Show facts."""
    from trialbook_deploy.commands.kit import with_client
    from trialbook_deploy.commands.which import run_id

    async def work(client: AsyncClient) -> int:
        aggregate = await run_id(client, run) if run else ""
        limit = None if everything else count
        async for fact in _facts(client, follow, after, limit, types or [], kind, aggregate):
            _write(fact, as_json)
        return 0

    with_client(url, data_dir, workspace, work)


async def _facts(
    client: AsyncClient, follow: bool, after: int | None, limit: int | None, types: list[str], kind: str, aggregate: str
) -> AsyncIterator[Fact]:
    """The facts asked for, then those to come."""
    start = after or 0
    if after is None and limit is not None:
        start = await _before_newest(client, limit, types, kind, aggregate)
    if follow:
        async for fact in client.ledger.follow(after=start, types=types, kind=kind, aggregate=aggregate):
            yield fact
        return
    given = 0
    async for fact in client.ledger.iterate(after=start, types=types, kind=kind, aggregate=aggregate):
        if limit is not None and given >= limit and after is not None:
            return
        given += 1
        yield fact


async def _before_newest(client: AsyncClient, count: int, types: list[str], kind: str, aggregate: str) -> int:
    """The place before the newest `count` facts that match."""
    if count == 0:
        return await client.ledger.position()
    chosen = f",{','.join(types)}," if types else ""
    result = await client.sql(NEWEST, [chosen, chosen, kind, kind, aggregate, aggregate, count])
    oldest = result.rows[0][0]
    return 0 if oldest is None else int(oldest) - 1


def _write(fact: Fact, as_json: bool) -> None:
    from rich.text import Text

    from trialbook_deploy.commands.show import console, write_json_line

    if as_json:
        write_json_line(fact)
        return
    event = fact.event
    data = bytes(event.data).decode(errors="replace")
    cut = data if len(data) <= SHOWN_DATA else data[:SHOWN_DATA] + "..."
    console().print(
        Text.assemble(
            (f"{fact.sequence:>8} ", "dim"), (event.time[11:23], "dim"), " ", (f"{event.type:<26}", "cyan"), " ",
            event.subject, "  ", (event.actor, "magenta"), "  ", cut,
        )
    )  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(help=teach(HELP))(events)

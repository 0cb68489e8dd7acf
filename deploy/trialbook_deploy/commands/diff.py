"""`trialbook diff run|file|dataset|model|workspace`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import typer

from trialbook_deploy.commands.options import AsJson, DataDir, Url, Workspace, teach

if TYPE_CHECKING:
    from trialbook.client import AsyncClient

Kind = Literal["run", "file", "dataset", "model", "workspace"]
KINDS: tuple[str, ...] = get_args(Kind)
VALUE = 100
HELP = """Show what differs between two moments, and the facts that changed it.

A moment is a place in the ledger, an RFC 3339 time with any offset, or a date: its first moment, midnight UTC. Of a
run, file, dataset or model every member that differs is shown; of a workspace, what was created, changed and deleted.

\b
Examples:
  trialbook diff run last --from 0
  trialbook diff dataset <id> --from 2026-11-20T08:00:00+01:00 --to 2026-11-20T18:00:00+01:00
  trialbook diff dataset <id> --from 2026-11-19 --to 2026-11-21     # two whole days
  trialbook diff workspace main --from 1000 --to 2000
  trialbook diff run last --from 0 --json | jq .changes[].pointer

Exit codes: 0 done (differences or not), 1 it did not work, 2 wrong usage.
"""


def diff(
    kind: Annotated[str, typer.Argument(help=f"What: {', '.join(KINDS)}.")],
    subject: Annotated[str, typer.Argument(metavar="ID", help="Its id; of a run also a name or `last`.")],
    since: Annotated[str, typer.Option("--from", help="The first moment.")],
    until: Annotated[str, typer.Option("--to", help="The second moment.", show_default="now")] = "",
    url: Url = None,
    workspace: Workspace = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Show differences."""
    from trialbook_deploy.commands.kit import Exit, choose, with_client
    from trialbook_deploy.commands.show import write_json
    from trialbook_deploy.commands.which import run_id

    choose(kind, KINDS, "KIND")

    async def work(client: AsyncClient) -> int:
        id_ = await run_id(client, subject) if kind == "run" else subject
        found = await client.ledger.diff(kind, id_, since=since, until=until)
        if as_json:
            write_json(found)
        elif kind == "workspace":
            _write_things(found)
        else:
            _write_members(found)
        return Exit.OK

    with_client(url, data_dir, workspace, work)


def _moments(found: dict[str, Any]) -> str:
    moments = (found["since"], found["until"])
    ends = [f"{one['sequence']} ({one['time']})" if one["time"] else str(one["sequence"]) for one in moments]
    return f"from {ends[0]} to {ends[1]}"


def _write_members(found: dict[str, Any]) -> None:
    from rich.text import Text

    from trialbook_deploy.commands.show import console, harmless

    out = console()
    out.print(Text(f"{found['kind']} {found['id']} {_moments(found)}: {len(found['changes'])} differences", "bold"))
    for one in found["changes"]:
        if one["change"] == "added" and one["new"] in (None, {}, []):
            continue  # new and empty: nothing to read
        cause = one["cause"]
        by = f"  {cause['sequence']} {cause['type']} {cause['actor']}" if cause else ""
        old, new = _short(one["old"]), _short(one["new"])
        shown = [("- " + old, "red")] if one["change"] != "added" else []
        shown += [(" " if shown else "", ""), ("+ " + new, "green")] if one["change"] != "removed" else []
        out.print(Text.assemble((harmless(one["pointer"]), "bold"), "  ", *shown, (harmless(by), "dim")))


def _write_things(found: dict[str, Any]) -> None:
    from rich.text import Text

    from trialbook_deploy.commands.show import console, harmless

    styles = {"created": "green", "changed": "yellow", "deleted": "red", "created_and_deleted": "dim"}
    out = console()
    out.print(Text(f"{_moments(found)}: {len(found['items'])} things", "bold"))
    for one in found["items"]:
        status = one.get("status")
        went = f"  {status[0] or '-'} -> {status[1] or '-'}" if status and status[0] != status[1] else ""
        last = one["last"]
        out.print(Text.assemble(
            (f"{one['change']:<20}", styles[one["change"]]), f"{one['kind']:<9} {one['id']} ", harmless(one["name"]),
            went,
            (f"  {one['facts']} facts, last {last['sequence']} {last['type']} by {harmless(last['actor'])}", "dim"),
        ))  # fmt: skip


def _short(value: Any) -> str:
    import msgspec

    from trialbook_deploy.commands.show import harmless

    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return harmless(text if len(text) <= VALUE else text[:VALUE] + "...")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(help=teach(HELP))(diff)

"""`trialbook rebuild`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from trialbook_deploy.commands.options import AsJson, DataDir, NatsUrl, teach

HELP = """Build the projector's tables anew from the ledger, compare them with the live ones, and swap.

The service goes on meanwhile. Every table is compared by its rows and a hash over them; a difference means that the
live tables were not what the ledger says, and its first row is shown. With --check nothing is swapped.

The tables before the swap are kept (TRIALBOOK_KEEP_TABLES of the projector, 1): --rollback brings them back, caught up
with what happened since. --keep builds a candidate without swapping, --swap brings it in later.

\b
Examples:
  trialbook rebuild --check
  trialbook rebuild
  trialbook rebuild --rollback
  trialbook rebuild --keep
  trialbook rebuild --list
  trialbook rebuild --swap 2
  trialbook rebuild --check --json | jq .identical

\b
Exit codes: 0 old and new tables are identical, 1 it did not work, 2 wrong usage,
4 they differ (and were swapped, without --check).
"""
DIFFERENT = 4


def rebuild(
    check: Annotated[bool, typer.Option("--check", help="Only compare; keep the live tables.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Compare, and keep the new tables as a candidate.")] = False,
    swap: Annotated[str, typer.Option("--swap", metavar="FILE", help="Swap in a kept file: its name or number.")] = "",
    rollback: Annotated[bool, typer.Option("--rollback", help="Swap in the tables before the current ones.")] = False,
    listing: Annotated[bool, typer.Option("--list", help="Show the files that are kept.")] = False,
    nats_url: NatsUrl = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Rebuild the tables."""
    from trialbook_deploy.commands.kit import run, usage_error
    from trialbook_deploy.target import nats_server_url

    order: dict[str, Any] = {"check": check, "keep": keep, "swap": swap, "rollback": rollback, "list": listing}
    order = {name: value for name, value in order.items() if value}
    if len(order) > 1:
        usage_error(f"--{' and --'.join(order)} cannot be combined.")
    run(_rebuild(nats_server_url(data_dir, nats_url), order, as_json))


async def _rebuild(nats_url: str, order: dict[str, Any], as_json: bool) -> int:
    import msgspec

    from trialbook import subjects
    from trialbook.log.nats import connect
    from trialbook_deploy.commands.asking import control

    nc = await connect(nats_url, name="trialbook-rebuild", wait_s=3.0)
    try:
        found = await control(nc, subjects.REBUILD, order, "The projector is at work ...")
        report: dict[str, Any] = msgspec.json.decode(found)
    finally:
        await nc.close()
    if as_json:
        from trialbook_deploy.commands.show import write_json

        write_json(report)
    else:
        _write(report)
    return 0 if report["identical"] else DIFFERENT


def _write(report: dict[str, Any]) -> None:
    if report["tables"]:
        _write_comparison(report)
    else:
        _write_versions(report)


def _write_versions(report: dict[str, Any]) -> None:
    from trialbook_deploy.commands.show import console, write_table

    columns = ("file", "kind", "schema", "facts", "signals", "bytes", "kept at")
    rows = [
        (v["file"], v["kind"], v["schema_version"], v["facts"], v["signals"], v["bytes"], v["kept_at"])
        for v in report["versions"]
    ]
    write_table(columns, rows, right=frozenset({"schema", "facts", "signals", "bytes"}))
    if report["swapped"]:
        console().print(f"swapped in {report['seconds']:.1f} s", markup=False)


def _write_differences(tables: dict[str, Any]) -> None:
    from trialbook_deploy.commands.show import console, harmless

    for name, one in sorted(tables.items()):
        first = one.get("first")
        if first is None:
            continue
        rows = f"live has {first['live_rows']} such rows, rebuilt {first['rebuilt_rows']}"
        console().print(f"{name}: first difference at {first['key']} {first['value']}; {rows}", markup=False)
        for column, (live, rebuilt) in first["columns"].items():
            shown = f"  {column}: live {live!r}, rebuilt {rebuilt!r}"
            console().print(harmless(shown), markup=False)


def _write_comparison(report: dict[str, Any]) -> None:
    from trialbook_deploy.commands.show import console, write_table

    rows = [
        (
            name,
            one["live"]["rows"],
            one["rebuilt"]["rows"],
            one["rebuilt"]["hash"],
            "same" if one["equal"] else "DIFFERS",
        )
        for name, one in sorted(report["tables"].items())
    ]
    write_table(("table", "rows", "rebuilt", "hash", "result"), rows, right=frozenset({"rows", "rebuilt"}))
    _write_differences(report["tables"])
    verdict = "identical" if report["identical"] else "NOT identical"
    console().print(
        f"{report['facts']:,} facts and signals up to {report['signals']:,} in {report['seconds']:.1f} s: {verdict}"
        + ("; the new tables are in use" if report["swapped"] else "; nothing was changed"),
        markup=False,
    )


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(help=teach(HELP))(rebuild)

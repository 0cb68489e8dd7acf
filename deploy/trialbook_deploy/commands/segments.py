"""`trialbook segments list|verify`."""

from __future__ import annotations

import typer

from trialbook_deploy.commands.options import AsJson, DataDir, NatsUrl, teach

HELP = "Sealed facts: the segments that hold them."
LIST = """Show the segments of sealed facts.

\b
Examples:
  trialbook segments list
  trialbook segments list --json | jq '.segments[].name'

Exit codes: 0 done, 1 it did not work, 2 wrong usage.
"""
VERIFY = """Read every segment and compare it with its digest and its tree hash.

\b
Examples:
  trialbook segments verify

Exit codes: 0 all are as they were sealed, 1 it did not work, 2 wrong usage, 5 a segment is damaged or missing.
"""
DAMAGED = 5


def listing(nats_url: NatsUrl = None, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List the segments."""
    _run(nats_url, data_dir, as_json, verify=False)


def verify(nats_url: NatsUrl = None, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Verify the segments."""
    _run(nats_url, data_dir, as_json, verify=True)


def _run(nats_url: NatsUrl, data_dir: DataDir, as_json: bool, *, verify: bool) -> None:
    from trialbook_deploy.commands.kit import run
    from trialbook_deploy.target import nats_server_url

    run(_ask(nats_server_url(data_dir, nats_url), as_json, verify))


async def _ask(nats_url: str, as_json: bool, verify: bool) -> int:
    import msgspec

    from trialbook.log.connect import connect
    from trialbook.queries import LedgerSegments, SegmentList
    from trialbook_deploy.commands.asking import control
    from trialbook_deploy.commands.show import write_json

    nc = await connect(nats_url, name="trialbook-segments", wait_s=3.0)
    try:
        report = await control(nc, LedgerSegments.NAME, {"verify": verify}, "The projector reads the segments ...")
    finally:
        await nc.close()
    found = msgspec.json.decode(report, type=SegmentList)
    if as_json:
        write_json(found)
    else:
        _write(found)
    return DAMAGED if any(segment.problem for segment in found.segments) else 0


def _write(found: object) -> None:
    from trialbook.queries import SegmentList
    from trialbook_deploy.commands.show import console, write_table

    assert isinstance(found, SegmentList)
    if found.segments:
        columns = ("facts", "to", "bytes", "sha256", "written", "result")
        result = "as sealed" if found.verified else ""
        rows = [
            (s.first, s.last, s.bytes, s.sha256[:16], s.written_at[:19], s.problem or result) for s in found.segments
        ]
        write_table(columns, rows, right=frozenset({"facts", "to", "bytes"}))
    console().print(
        f"Facts up to {found.sealed_to:,} of {found.last:,} are sealed at {found.location}; {found.in_stream:,} of "
        "them are still in the stream.",
        markup=False,
    )


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help=HELP, no_args_is_help=True)
    group.command("list", help=teach(LIST))(listing)
    group.command("verify", help=teach(VERIFY))(verify)
    app.add_typer(group, name="segments")

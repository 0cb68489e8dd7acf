"""`trialbook replay`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from trialbook_deploy.commands.options import DataDir, NatsUrl, Url, Workspace, teach

if TYPE_CHECKING:
    from pathlib import Path

    from trialbook.client import AsyncClient

SPEEDS = ("1x", "10x", "max")
HELP = """Give the facts of a workspace again, in their order: to standard output, to a file, or onto NATS.

Lines are what GET /v1/events gives (one JSON object with sequence and event each). Onto NATS goes each event as the
CloudEvent that it is, on SUBJECT.<workspace>.<kind>.<id>.<name>, with its place in the header Trialbook-Sequence. At 1x
events keep the distances in time that they had, at 10x a tenth of them. It ends with the facts that there were when it
began. After Ctrl-C the last sequence is told; go on with --from-sequence.

To execute a run again and compare its ends: `trialbook rerun`.

\b
Examples:
  trialbook replay > facts.ndjson
  trialbook replay --aggregate <run id> --speed 1x
  trialbook replay --since 2026-11-20T08:00:00+01:00 --until 2026-11-20T09:00:00+01:00 --to morning.ndjson
  trialbook replay --type run.completed.v1 --to nats:replayed.lab --speed 10x
  trialbook replay --from-sequence 1001 --to-sequence 2000 --to nats:audit --seed-file audit.nk

Exit codes: 0 done, 1 it did not work, 2 wrong usage, 130 Ctrl-C.
"""


def replay(
    run: Annotated[str, typer.Argument(hidden=True)] = "",
    to: Annotated[str, typer.Option("--to", help="A file, `-` for standard output, or nats:SUBJECT.")] = "-",
    speed: Annotated[str, typer.Option("--speed", help="1x, 10x or max.")] = "max",
    types: Annotated[list[str] | None, typer.Option("--type", help="Only this type, such as run.failed.v1.")] = None,
    kind: Annotated[str, typer.Option("--kind", help="Only run, workspace, file, dataset, model or name.")] = "",
    aggregate: Annotated[str, typer.Option("--aggregate", help="Only about this one: its id.")] = "",
    actor: Annotated[str, typer.Option("--actor", help="Only what this one did.")] = "",
    correlation: Annotated[str, typer.Option("--correlation", help="Only of this request.")] = "",
    since: Annotated[str, typer.Option("--since", help="Not before this time (RFC 3339, any offset).")] = "",
    until: Annotated[str, typer.Option("--until", help="Before this time.")] = "",
    first: Annotated[int, typer.Option("--from-sequence", min=1, help="The first sequence.")] = 1,
    last: Annotated[
        int, typer.Option("--to-sequence", min=0, help="The last sequence.", show_default="the ledger's end")
    ] = 0,
    seed_file: Annotated[
        str, typer.Option("--seed-file", help="Publish as the NATS user whose seed is in this file.")
    ] = "",
    url: Url = None,
    nats_url: NatsUrl = None,
    workspace: Workspace = None,
    data_dir: DataDir = None,
) -> None:
    """Replay facts."""
    from trialbook_deploy.commands.kit import choose, complain, usage_error, with_client
    from trialbook_deploy.commands.replaying import Progressing, delivered, opened

    if run:
        usage_error(f"to execute a run again: trialbook rerun {run}; to see its facts: trialbook replay --aggregate ID")
    choose(speed, SPEEDS, "--speed")
    state = Progressing(first - 1)

    async def work(client: AsyncClient) -> int:
        lines = client.ledger.lines(
            after=first - 1, up_to=last, types=types or [], kind=kind, aggregate=aggregate, actor=actor,
            correlation=correlation, since=since, until=until,
        )  # fmt: skip
        async with opened(to, _nats(to, data_dir, nats_url), seed_file) as target:
            await delivered(lines, target, None if speed == "max" else float(speed[:-1]), state)
        complain(state.summary())
        return 0

    with_client(url, data_dir, workspace, work, on_interrupt=lambda: complain(state.interrupted()))


def _nats(to: str, data_dir: Path | None, nats_url: str | None) -> str:
    from trialbook_deploy.target import nats_server_url

    return nats_server_url(data_dir, nats_url) if to.startswith("nats:") else ""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(help=teach(HELP))(replay)

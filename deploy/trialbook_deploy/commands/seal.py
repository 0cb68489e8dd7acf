"""`trialbook seal`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from trialbook_deploy.commands.options import AsJson, DataDir, NatsUrl, teach

HELP = """Move old facts of finished runs out of the stream, into segments in files or S3-compatible storage.

Facts are written to segments (NDJSON and Parquet), read back and compared; then those of finished runs are purged from
the stream but for their verdicts. Every read goes on as before, over both. What is not about runs stays in the stream.
A run that is not finished keeps everything from its first fact on where it is. Nothing is lost when this is
interrupted, and it may be repeated.

\b
Examples:
  trialbook seal --before 90d
  trialbook seal --before 1000000 --keep-stream
  trialbook segments list

Exit codes: 0 done, 1 it did not work, 2 wrong usage.
"""


def seal(
    before: Annotated[str, typer.Option("--before", help="An age such as 90d, 12h or 30m, or a sequence.")],
    keep_stream: Annotated[bool, typer.Option("--keep-stream", help="Write segments, but purge nothing.")] = False,
    nats_url: NatsUrl = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Seal old facts."""
    from trialbook_deploy.commands.kit import run
    from trialbook_deploy.target import nats_server_url

    run(_seal(nats_server_url(data_dir, nats_url), {"before": before, "keep_stream": keep_stream}, as_json))


async def _seal(nats_url: str, order: dict[str, Any], as_json: bool) -> int:
    import msgspec

    from trialbook import subjects
    from trialbook.log.connect import connect
    from trialbook_deploy.commands.asking import control
    from trialbook_deploy.commands.show import write_json

    nc = await connect(nats_url, name="trialbook-seal", wait_s=3.0)
    try:
        report: dict[str, Any] = msgspec.json.decode(
            await control(nc, subjects.SEAL, order, "The projector seals facts ...")
        )
    finally:
        await nc.close()
    if as_json:
        write_json(report)
    else:
        _write(report)
    return 0


def _write(report: dict[str, Any]) -> None:
    from trialbook_deploy.commands.show import console

    sealed = report["sealed_to"] - report["sealed_from"]
    text = (
        f"{sealed:,} facts sealed ({report['segments']:,} segments, {report['bytes']:,} bytes), up to fact "
        f"{report['sealed_to']:,}; {report['purged']:,} purged from the stream in {report['seconds']:.1f} s"
    )
    if report["holding"]:
        holding = report["holding"]
        text += (
            f"\nRun {holding['run']} of {holding['workspace']} is not finished: facts from {holding['sequence']:,} on "
            "stay as they are."
        )
    console().print(text, markup=False)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(help=teach(HELP))(seal)

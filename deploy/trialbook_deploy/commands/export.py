"""`trialbook export`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trialbook_deploy.commands.options import AsJson, DataDir, NatsUrl, teach

if TYPE_CHECKING:
    from nats.aio.client import Client

    from trialbook.ledger.export import Options
    from trialbook.ledger.manifest import Manifest
    from trialbook_deploy.target import Target

FORMATS = ("ndjson", "ndjson,parquet")
HELP = """Copy the ledger into files: every fact byte for byte, signals, checkpoints and blobs, with a manifest.

It reads the running stack and disturbs nobody. The export is of one moment: facts up to the end as it is now. When it
is interrupted, the same command goes on where it stopped. `trialbook import` makes an equal installation of it,
`trialbook audit verify` proves it: facts by the checkpoints, signals and everything else by the manifest, which the
log's key signs in `manifest.note`. An export of one workspace is an extract: each fact carries its proof, but
it cannot be imported.

S3: credentials and endpoint come from the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION,
AWS_ENDPOINT_URL).

\b
Examples:
  trialbook export backup/
  trialbook export backup/ --format ndjson,parquet
  trialbook export s3://bucket/trialbook/2026-11
  trialbook export alice/ --workspace alice --no-signals

Exit codes: 0 done, 1 it did not work, 2 wrong usage, 130 Ctrl-C (repeat to go on).
"""


def export(
    to: Annotated[str, typer.Argument(metavar="FOLDER", help="A new or empty folder, or s3://bucket/folder.")],
    first: Annotated[int, typer.Option("--from-sequence", min=1, help="First fact.")] = 1,
    last: Annotated[int, typer.Option("--to-sequence", min=0, help="Last fact.", show_default="the newest")] = 0,
    workspace: Annotated[
        str, typer.Option("--workspace", "-w", help="Only this workspace.", show_default="all of them")
    ] = "",
    formats: Annotated[str, typer.Option("--format", help="ndjson, or ndjson,parquet for analysts.")] = "ndjson",
    signals: Annotated[bool, typer.Option("--signals/--no-signals", help="Logs, metrics, rows.")] = True,
    blobs: Annotated[bool, typer.Option("--blobs/--no-blobs", help="Files, artifacts, results.")] = True,
    keys: Annotated[
        bool,
        typer.Option("--with-keys", help="Also the wrapped keys of data subjects, for a move of the installation."),
    ] = False,
    nats_url: NatsUrl = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Export the ledger."""
    from trialbook.ledger.export import Options
    from trialbook_deploy.commands.kit import choose, run
    from trialbook_deploy.target import find, nats_server_url

    choose(formats, FORMATS, "--format")
    url = nats_server_url(data_dir, nats_url)
    options = Options(
        first=first, last=last, workspace=workspace, signals=signals, blobs=blobs, keys=keys, table=_table(formats)
    )
    run(_export(url, find(None, data_dir, nats_url), to, options, as_json))


def _table(formats: str) -> Any:
    if "parquet" not in formats:
        return None
    from trialbook_projector.segments_parquet import table_of

    return table_of


async def _export(url: str, target: Target, to: str, options: Options, as_json: bool) -> int:
    from msgspec import structs

    from trialbook.ledger.export import Exporter
    from trialbook.ledger.signing import signature_of
    from trialbook.log.connect import connect
    from trialbook_deploy.commands import copying

    destination = copying.storage(to)
    nc = await connect(url, name="trialbook-export", wait_s=3.0)
    try:
        size = await _sign(nc)
        sign = partial(signature_of, nc) if size else None
        options = structs.replace(options, signed=size)
        with copying.bar() as tell:
            manifest = await Exporter(nc, url, copying.sealed(target), destination, options, tell, sign=sign).run()
    finally:
        await nc.close()
    _write(manifest, to, as_json)
    return 0


async def _sign(nc: Client) -> int:
    """Have a checkpoint made, so that all of the export is under it; its size. 0: this ledger signs nothing."""
    import msgspec

    from trialbook.asking import NatsAsk
    from trialbook.errors import NotFound, Refusal
    from trialbook.proofs import LedgerCheckpoint, NoteView
    from trialbook_deploy.commands.kit import complain

    try:
        answer = await NatsAsk(nc).ask("_", LedgerCheckpoint(now=True))
    except NotFound:
        return 0
    except Refusal as refusal:
        complain(f"The newest facts are exported without a checkpoint, all of it without a signature: {refusal.detail}")
        return 0
    return msgspec.json.decode(answer.result or b"{}", type=NoteView).size


def _write(manifest: Manifest, to: str, as_json: bool) -> None:
    from trialbook_deploy.commands.show import console, write_json

    counts = {name.lower(): sum(s.count for s in part.segments) for name, part in manifest.streams.items()}
    summary = {
        "to": to, "facts_from": manifest.streams["FACTS"].first, "facts_to": manifest.streams["FACTS"].last,
        "workspace": manifest.workspace or None, **counts, "blobs": len(manifest.blobs),
        "bytes": sum(s.bytes for part in manifest.streams.values() for s in part.segments)
        + sum(blob.size for blob in manifest.blobs), "signed": bool(manifest.note),
    }  # fmt: skip
    if as_json:
        write_json(summary)
        return
    console().print(
        f"{counts['facts']:,} facts, {counts.get('signals', 0):,} signals, {counts['checkpoints']:,} checkpoints and "
        f"{summary['blobs']:,} blobs in {to}, as of fact {summary['facts_to']:,}; "
        + ("manifest signed" if manifest.note else "manifest NOT signed: nothing proves what is no fact"),
        markup=False,
    )


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(help=teach(HELP))(export)

"""`trialbook import`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trialbook_deploy.commands.options import AsJson, DataDir, NatsUrl, teach

if TYPE_CHECKING:
    from trialbook.audit.signer import PublicKey
    from trialbook.ledger.importing import Tell
    from trialbook.ledger.manifest import Manifest

HELP = """Make an installation out of an export: an equal ledger, equal tables, equal proofs.

The installation must be empty and its services stopped. Without --nats-url the server of --data-dir is started for the
import and stopped again; then `trialbook up` goes on from there. Everything is compared with its digest before anything
is written, and again afterwards; with --key the manifest must be signed by the log that was exported, and nothing may
have been changed, added or left out since. When it is interrupted, the same command goes on where it stopped.

Runs that were not finished go on when runners start: a waiting run is executed, a running one counts as lost with its
runner and is attempted again.

\b
Examples:
  trialbook import backup/ --data-dir /srv/trialbook-2
  trialbook import backup/ --key trialbook-1a2b3c4d+0f9e8d7c+AQ...
  trialbook import s3://bucket/trialbook/2026-11 --nats-url nats://trialbook:...@host:4222

Exit codes: 0 done, 1 it did not work, 2 wrong usage, 130 Ctrl-C (repeat to go on).
"""


def import_(
    source: Annotated[str, typer.Argument(metavar="FOLDER", help="The folder of an export, or s3://bucket/folder.")],
    key: Annotated[
        list[str] | None,
        typer.Option("--key", help="The exporting log's public key, or a file with it; may be repeated."),
    ] = None,
    nats_url: NatsUrl = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Import an export."""
    import os

    from trialbook_deploy.auditing.keys import public_keys
    from trialbook_deploy.commands.kit import run, usage_error
    from trialbook_deploy.errors import DeployError
    from trialbook_deploy.state import default_data_dir

    named = nats_url or os.environ.get("TRIALBOOK_NATS_URL")
    folder = data_dir or default_data_dir()
    try:
        keys = public_keys(key, folder) if key else []
    except DeployError as error:
        usage_error(str(error))
    run(_import(source, named, folder, keys, as_json))


async def _import(source: str, nats_url: str | None, data_dir: Path, keys: Sequence[PublicKey], as_json: bool) -> int:
    from trialbook.errors import Unavailable
    from trialbook.ledger.importing import checked
    from trialbook.ledger.segments import Damaged
    from trialbook_deploy import alone
    from trialbook_deploy.commands import copying

    storage = copying.storage(source)
    try:
        with copying.bar() as tell:
            manifest = await checked(storage, tell, keys)
            if nats_url is not None:
                await _fill(nats_url, source, manifest, tell)
            else:
                async with alone.server(data_dir) as url:
                    await _fill(url, source, manifest, tell)
    except Damaged as error:
        raise Unavailable("export_damaged", f"{source} cannot be imported: {error}.") from error
    _write(manifest, source, bool(keys), as_json)
    return 0


async def _fill(url: str, source: str, manifest: Manifest, tell: Tell) -> None:
    from trialbook.ledger.importing import Importer
    from trialbook.log.connect import connect
    from trialbook_deploy.commands import copying

    nc = await connect(url, name="trialbook-import", wait_s=3.0)
    try:
        await Importer(nc, url, copying.storage(source), manifest, tell).run()
    finally:
        await nc.close()


def _write(manifest: Manifest, source: str, proven: bool, as_json: bool) -> None:
    from trialbook_deploy.commands.show import console, write_json

    counts = {name.lower(): sum(s.count for s in part.segments) for name, part in manifest.streams.items()}
    if as_json:
        write_json({"from": source, **counts, "blobs": len(manifest.blobs), "proven": proven})
        return
    console().print(
        f"{counts['facts']:,} facts, {counts.get('signals', 0):,} signals and {len(manifest.blobs):,} blobs from "
        f"{source}: the ledger is equal to the exported one. Start the services; the tables are built from it.",
        markup=False,
    )
    if not proven:
        console().print("Nothing was held against a key: name that of the exporting log with --key.", markup=False)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("import", help=teach(HELP))(import_)

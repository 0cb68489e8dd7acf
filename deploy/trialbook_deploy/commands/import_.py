"""`trialbook import`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trialbook_deploy.commands.options import AsJson, DataDir, NatsUrl, teach

if TYPE_CHECKING:
    from trialbook.ledger.importing import Tell
    from trialbook.ledger.manifest import Manifest

HELP = """Make an installation out of an export: an equal ledger, equal tables, equal proofs.

The installation must be empty and its services stopped. Without --nats-url the server of --data-dir is started for the
import and stopped again; then `trialbook up` goes on from there. Everything is compared with its digest before anything
is written, and again afterwards. When it is interrupted, the same command goes on where it stopped.

Runs that were not finished go on when runners start: a waiting run is executed, a running one counts as lost with its
runner and is attempted again.

\b
Examples:
  trialbook import backup/ --data-dir /srv/trialbook-2
  trialbook import s3://bucket/trialbook/2026-11 --nats-url nats://trialbook:...@host:4222

Exit codes: 0 done, 1 it did not work, 2 wrong usage, 130 Ctrl-C (repeat to go on).
"""


def import_(
    source: Annotated[str, typer.Argument(metavar="FOLDER", help="The folder of an export, or s3://bucket/folder.")],
    nats_url: NatsUrl = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Import an export."""
    import os

    from trialbook_deploy.commands.kit import run
    from trialbook_deploy.state import default_data_dir

    named = nats_url or os.environ.get("TRIALBOOK_NATS_URL")
    run(_import(source, named, data_dir or default_data_dir(), as_json))


async def _import(source: str, nats_url: str | None, data_dir: Path, as_json: bool) -> int:
    from trialbook.errors import Unavailable
    from trialbook.ledger.importing import checked
    from trialbook.ledger.segments import Damaged
    from trialbook_deploy import alone
    from trialbook_deploy.commands import copying

    storage = copying.storage(source)
    try:
        with copying.bar() as tell:
            manifest = await checked(storage, tell)
            if nats_url is not None:
                await _fill(nats_url, source, manifest, tell)
            else:
                async with alone.server(data_dir) as url:
                    await _fill(url, source, manifest, tell)
    except Damaged as error:
        raise Unavailable("export_damaged", f"{source} cannot be imported: {error}.") from error
    _write(manifest, source, as_json)
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


def _write(manifest: Manifest, source: str, as_json: bool) -> None:
    from trialbook_deploy.commands.show import console, write_json

    counts = {name.lower(): sum(s.count for s in part.segments) for name, part in manifest.streams.items()}
    if as_json:
        write_json({"from": source, **counts, "blobs": len(manifest.blobs)})
        return
    console().print(
        f"{counts['facts']:,} facts, {counts.get('signals', 0):,} signals and {len(manifest.blobs):,} blobs from "
        f"{source}: the ledger is equal to the exported one. Start the services; the tables are built from it.",
        markup=False,
    )


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("import", help=teach(HELP))(import_)

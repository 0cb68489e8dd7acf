"""`trialbook audit key` and `rotate-key`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from trialbook_deploy.commands.options import DataDir, NatsUrl, Url, teach

if TYPE_CHECKING:
    from trialbook.audit.signer import Signer
    from trialbook.client import AsyncClient

KEY_HELP = """Print the public key that checkpoints are verified with.

Give it to those who are to verify, on a way of its own: whoever gets export and key from the same hand verifies only
that both fit together. After a rotation the keys are printed one per line, the oldest first.

\b
Examples:
  trialbook audit key
  trialbook audit key --url http://lab:8000

Exit codes: 0 done, 1 nothing is signed here, 2 wrong usage.
"""
ROTATE_HELP = """Replace the key that signs checkpoints by a new one.

The old key signs a note that names the new one, and the note is appended to the checkpoints: who knows the old key
believes the new one from there on. The secret old key is deleted; its public key stays beside the new one. Run it on
the machine of the stack, while it runs; a deployment that sets TRIALBOOK_LEDGER_KEY replaces that itself.

Exit codes: 0 done, 1 it did not work, 2 wrong usage.
"""


def key(url: Url = None, data_dir: DataDir = None) -> None:
    """Print the public key."""
    from trialbook_deploy.auditing.keys import public_keys
    from trialbook_deploy.commands.kit import complain, with_client
    from trialbook_deploy.ledger_key import FILE, FOLDER
    from trialbook_deploy.target import find

    folder = find(url, data_dir).data_dir
    if url is None and (folder / FOLDER / FILE).exists():
        for one in public_keys([], folder):
            typer.echo(one.text)
        return

    async def work(client: AsyncClient) -> int:
        text = (await client.proofs.state())["ledger"]["key"]
        if not text:
            complain("This ledger signs no checkpoints: no key is configured.")
            return 1
        typer.echo(text)
        return 0

    with_client(url, data_dir, None, work)


def rotate_key(data_dir: DataDir = None, nats_url: NatsUrl = None) -> None:
    """Replace the key."""
    from trialbook_deploy.auditing.keys import secret_key
    from trialbook_deploy.commands.kit import run
    from trialbook_deploy.ledger_key import FILE, FOLDER
    from trialbook_deploy.target import find, nats_server_url

    url = nats_server_url(data_dir, nats_url)
    path = find(None, data_dir, nats_url).data_dir / FOLDER / FILE
    run(_rotate(url, path, secret_key(path)))


async def _rotate(url: str, path: Path, old: Signer) -> int:
    from trialbook.audit.checkpoint import KeyNote, parse_text
    from trialbook.audit.notes import Note, parse
    from trialbook.clock import SystemClock
    from trialbook.log.checkpoints import append_note, read_notes
    from trialbook.log.connect import connect
    from trialbook_deploy.auditing.keys import RETIRED
    from trialbook_deploy.ledger_key import new_key, write_key

    nc = await connect(url, name="trialbook-rotate-key", wait_s=3.0)
    try:
        last = size = 0
        async for noted in read_notes(nc):
            said, last = parse_text(parse(noted.data).text), noted.sequence
            size = said.size if not isinstance(said, KeyNote) and said.origin == old.name else size
        new = new_key(old.name)
        text = KeyNote(old.public, new.public, size).text
        # Kept before the note is appended: were we interrupted in between, the new key would be lost.
        write_key(path.with_name(f"{path.name}.next"), new)
        await append_note(nc, old.name, Note(text, (old.sign(text), new.sign(text))).encode(), last)
    finally:
        await nc.close()
    retired = path.with_name(f"{path.name}{RETIRED}{SystemClock().unix_us()}")
    retired.write_text(old.public.text + "\n")
    path.with_name(f"{path.name}.next").replace(path)
    typer.echo(new.public.text)
    return 0


def register(group: typer.Typer) -> None:
    """Add the commands."""
    group.command(help=teach(KEY_HELP))(key)
    group.command(name="rotate-key", help=teach(ROTATE_HELP))(rotate_key)

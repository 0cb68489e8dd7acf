"""`trialbook audit witness`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trialbook_deploy.commands.options import DataDir, Url, teach

if TYPE_CHECKING:
    from trialbook.audit.signer import PublicKey, Signer
    from trialbook.client import AsyncClient

HELP = """Watch a log and cosign its checkpoints, on a machine that its operator has no access to.

The witness remembers the last checkpoint it saw and demands a proof that the ledger has only grown since. A ledger that
was rewritten, with the key and everything, cannot show one. Its public key (printed, and beside the secret one) belongs
into TRIALBOOK_WITNESS_KEYS of the gateway. Without --log-key the key of the first contact is believed from then on.

\b
Examples:
  trialbook audit witness --url http://lab:8000 --state seen.json --key witness.key
  trialbook audit witness --url http://lab:8000 --state seen.json --key witness.key --every 60

Exit codes: 0 cosigned, 1 it did not work, 2 wrong usage, 5 the log has forked: raise the alarm and keep the state file.
"""
FORKED = 5


def witness(
    state: Annotated[Path, typer.Option("--state", help="File with what was seen last.")],
    key: Annotated[Path, typer.Option("--key", help="File with the witness's secret key; made if there is none.")],
    name: Annotated[str, typer.Option("--name", help="What a new key is called.")] = "witness",
    log_key: Annotated[
        list[str] | None, typer.Option("--log-key", help="The log's public key, or a file with it; may be repeated.")
    ] = None,
    every: Annotated[float, typer.Option("--every", min=0, help="Seconds between looks; 0: one look.")] = 0,
    url: Url = None,
    data_dir: DataDir = None,
) -> None:
    """Watch and cosign."""
    from trialbook.audit.notes import is_name
    from trialbook.audit.signer import WITNESS
    from trialbook_deploy.auditing.keys import public_keys, secret_key
    from trialbook_deploy.commands.kit import usage_error, with_client
    from trialbook_deploy.ledger_key import new_key, write_key

    if not is_name(name):
        usage_error("--name may have no spaces and no plus.")
    if not key.exists():
        write_key(key, new_key(name, WITNESS))
        key.with_name(f"{key.name}.pub").write_text(secret_key(key).public.text + "\n")
    secret = secret_key(key)
    if secret.public.kind != WITNESS:
        usage_error(f"{key} is the key of a log; a witness needs one of its own.")
    named = public_keys(log_key, Path()) if log_key else []
    typer.echo(f"witness {secret.public.text}", err=True)

    async def work(client: AsyncClient) -> int:
        while True:
            code = await _look(client, state, secret, named)
            if code == FORKED or not every:
                return code
            await asyncio.sleep(every)

    with_client(url, data_dir, None, work)


async def _look(client: AsyncClient, state: Path, secret: Signer, named: Sequence[PublicKey]) -> int:
    import msgspec

    from trialbook.clock import SystemClock
    from trialbook.errors import Refusal
    from trialbook_deploy.auditing.witness import Forked
    from trialbook_deploy.auditing.witness import witness as look
    from trialbook_deploy.commands.kit import complain

    try:
        said = await look(client, state, secret, named, SystemClock().unix_us() // 1_000_000)
    except Forked as fork:
        complain(f"FORK: {fork}. Keep {state}: it proves what the log has signed before.")
        return FORKED
    except msgspec.DecodeError as error:
        complain(f"{state} cannot be read ({error}); restore it, or begin anew with another file.")
        return 1
    except Refusal as refusal:
        complain(refusal.detail)
        return 1
    typer.echo(f"{said.origin}: {said.size} facts, root {said.root.hex()}")
    return 0


def register(group: typer.Typer) -> None:
    """Add the command."""
    group.command(help=teach(HELP))(witness)

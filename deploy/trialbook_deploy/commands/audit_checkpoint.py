"""`trialbook audit checkpoint`, `prove` and `status`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from trialbook_deploy.commands.options import AsJson, DataDir, Url, teach

if TYPE_CHECKING:
    from trialbook.client import AsyncClient

CHECKPOINT_HELP = """Print the latest checkpoint: a signed note (C2SP tlog-checkpoint) with all its cosignatures.

\b
Examples:
  trialbook audit checkpoint
  trialbook audit checkpoint --now > yesterday.note

Exit codes: 0 done, 1 it did not work, 2 wrong usage.
"""
PROVE_HELP = """Prove that a fact is in the ledger: the audit path from its leaf hash to the head of a tree.

The proof is verified here before it is printed. A leaf is hashed from sequence, subject and payload of the fact; see
docs/audit.md.

\b
Examples:
  trialbook audit prove 1234
  trialbook audit prove 1234 --size 5000 --json > proof.json

Exit codes: 0 done, 1 it did not work or does not hold, 2 wrong usage.
"""
STATUS_HELP = """Show how the ledger is: its tree, the latest checkpoint, and what the last verification found.

Exit codes: 0 nothing deviates, 1 the ledger is damaged or does not answer, 2 wrong usage.
"""


def checkpoint(
    now: Annotated[bool, typer.Option("--now", help="Sign one over everything that is there now.")] = False,
    url: Url = None,
    data_dir: DataDir = None,
) -> None:
    """Print the latest checkpoint."""
    from trialbook_deploy.commands.kit import with_client

    async def work(client: AsyncClient) -> int:
        typer.echo(await client.proofs.checkpoint(now=now), nl=False)
        return 0

    with_client(url, data_dir, None, work)


def prove(
    sequence: Annotated[int, typer.Argument(min=1, help="The fact's place in the ledger.")],
    size: Annotated[int, typer.Option("--size", min=0, help="Size of the tree.", show_default="the present one")] = 0,
    url: Url = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Prove a fact."""
    from trialbook.audit.merkle import verify_inclusion
    from trialbook_deploy.commands.kit import complain, with_client
    from trialbook_deploy.commands.show import write_json

    async def work(client: AsyncClient) -> int:
        proof = await client.proofs.inclusion(sequence, size)
        path = [bytes.fromhex(part) for part in proof.path]
        leaf, root = bytes.fromhex(proof.leaf), bytes.fromhex(proof.root)
        if not verify_inclusion(leaf, sequence - 1, proof.size, path, root):
            complain(f"The proof of fact {sequence} does not hold.")
            return 1
        if as_json:
            write_json(proof)
        else:
            typer.echo(f"fact {proof.sequence} is in the tree of {proof.size} facts")
            for name, value in (("leaf", proof.leaf), ("root", proof.root), *(("path", part) for part in proof.path)):
                typer.echo(f"{name:<5}{value}")
        return 0

    with_client(url, data_dir, None, work)


def status(url: Url = None, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Show how the ledger is."""
    from trialbook_deploy.commands.kit import with_client
    from trialbook_deploy.commands.show import write_json

    async def work(client: AsyncClient) -> int:
        found = await client.proofs.state()
        ledger = found["ledger"]
        if as_json:
            write_json(found)
        else:
            checked = ledger["verified_at"] or f"{ledger['checked']:,} of {ledger['total']:,} facts so far"
            typer.echo(f"state     {ledger['state']} (verified: {checked})")
            typer.echo(f"tree      {ledger['size']:,} facts, root {ledger['root']}")
            typer.echo(f"signed    {ledger['signed']:,} facts by {ledger['key'] or 'nobody'}")
            for finding in ledger["findings"]:
                typer.echo(f"finding   {finding['kind']} {finding['sequence']} {finding.get('detail', '')}".rstrip())
        return 1 if ledger["state"] == "damaged" else 0

    with_client(url, data_dir, None, work)


def register(group: typer.Typer) -> None:
    """Add the commands."""
    group.command(help=teach(CHECKPOINT_HELP))(checkpoint)
    group.command(help=teach(PROVE_HELP))(prove)
    group.command(help=teach(STATUS_HELP))(status)

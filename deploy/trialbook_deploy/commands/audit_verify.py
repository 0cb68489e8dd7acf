"""`trialbook audit verify`."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trialbook_deploy.commands.options import AsJson, DataDir, NatsUrl, teach

if TYPE_CHECKING:
    from trialbook.audit.findings import Finding
    from trialbook.audit.signer import PublicKey
    from trialbook_deploy.target import Target

HELP = """Verify that nothing was changed: every fact against every checkpoint that the log has signed.

An export is verified offline, with nothing but the log's public key: no service is asked. Its facts are proven by the
checkpoints, all its files by the signature of the manifest; what neither covers is said (exports of earlier releases
have no signature: then signals are not proven; --signed refuses them). With --live it is a running
ledger, read from its stream. What deviates is named: which fact was changed, lost, inserted or reordered. Without --key
the keys of the stack of --data-dir are taken, which proves nothing to others.

\b
Examples:
  trialbook audit verify ./export --key trialbook-1a2b3c4d+0f9e8d7c+AQ...
  trialbook audit verify ./export --key log.pub --json | jq .findings
  trialbook audit verify ./export --key log.pub --signed
  trialbook audit verify --live

Exit codes: 0 everything holds, 1 something deviates, 2 wrong usage, or what should be verified cannot be read.
"""
CANNOT_READ = 2


def verify(
    export: Annotated[str | None, typer.Argument(help="Folder or s3:// url of an export.")] = None,
    live: Annotated[bool, typer.Option("--live", help="A running ledger instead of an export.")] = False,
    key: Annotated[
        list[str] | None, typer.Option("--key", help="The log's public key, or a file with it; may be repeated.")
    ] = None,
    up_to: Annotated[
        int, typer.Option("--up-to", min=0, help="The export may end at this fact.", show_default="its last checkpoint")
    ] = 0,
    must_be_signed: Annotated[
        bool, typer.Option("--signed", help="An export whose manifest nobody signed is a deviation.")
    ] = False,
    nats_url: NatsUrl = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Verify an export or a running ledger."""
    from trialbook_deploy.auditing.keys import public_keys
    from trialbook_deploy.commands.kit import run, usage_error
    from trialbook_deploy.errors import DeployError
    from trialbook_deploy.target import find

    if (export is None) != live or (live and must_be_signed):
        usage_error("Name an export, or say --live.")
    target = find(None, data_dir, nats_url)
    try:
        keys = public_keys(key or [], target.data_dir)
    except DeployError as error:
        usage_error(str(error))
    run(_live(target, keys, as_json) if export is None else _export(export, keys, up_to, must_be_signed, as_json))


async def _export(location: str, keys: Sequence[PublicKey], up_to: int, must_be_signed: bool, as_json: bool) -> int:
    from trialbook.audit.findings import Finding
    from trialbook.errors import Refusal
    from trialbook_deploy.auditing.export import not_covered, verify_export
    from trialbook_deploy.commands import copying
    from trialbook_deploy.commands.kit import complain

    try:
        with copying.bar() as tell:
            examined = await verify_export(copying.storage(location), keys, up_to, tell)
    except Refusal as refusal:
        complain(refusal.detail)
        return CANNOT_READ
    verdict, findings = examined.verdict, examined.verdict.findings
    if must_be_signed and not examined.manifest.note:
        findings = [Finding(kind="signature", sequence=0, detail="the manifest is not signed"), *findings]
    deviations = verdict.deviations + len(findings) - len(verdict.findings)
    report = {
        "intact": not deviations, "facts": verdict.facts, "signed": verdict.signed, "root": verdict.root,
        "checkpoints": verdict.checkpoints, "workspace": examined.manifest.workspace or None,
        "located": verdict.located, "deviations": deviations, "manifest": examined.signed,
        "not_covered": not_covered(examined),
    }  # fmt: skip
    return _report(report, findings, as_json)


async def _live(target: Target, keys: Sequence[PublicKey], as_json: bool) -> int:
    from trialbook.errors import Refusal
    from trialbook.log.connect import connect
    from trialbook_deploy.auditing.live import verify_live
    from trialbook_deploy.commands import copying
    from trialbook_deploy.commands.kit import complain, usage_error

    if target.nats_url is None:
        usage_error(f"No stack runs on {target.data_dir}; name its server with --nats-url.")
    folder = copying.segments_folder(target.data_dir)
    segments = os.environ.get("TRIALBOOK_SEGMENTS_URL") or (str(folder) if folder.exists() else "")
    try:
        nc = await connect(target.nats_url, name="trialbook-audit", wait_s=3.0)
        try:
            with copying.bar() as tell, tempfile.TemporaryDirectory() as scratch:
                outcome, size = await verify_live(nc, target.nats_url, keys, segments, Path(scratch), tell)
        finally:
            await nc.close()
    except Refusal as refusal:
        complain(refusal.detail)
        return CANNOT_READ
    report = {
        "intact": not outcome.deviations, "facts": outcome.facts, "size": size, "checkpoints": outcome.checkpoints,
        "deviations": outcome.deviations,
    }  # fmt: skip
    return _report(report, outcome.findings, as_json)


def _report(report: dict[str, Any], findings: Sequence[Finding], as_json: bool) -> int:
    from trialbook_deploy.commands.show import write_json

    if as_json:
        write_json({**report, "findings": list(findings)})
    else:
        typer.echo(f"{report['facts']:,} facts, {report['checkpoints']:,} checkpoints")
        if not report["intact"]:
            for finding in findings:
                typer.echo(finding.text)
            typer.echo(f"NOT as it was written: {report['deviations']:,} deviations")
        else:
            typer.echo("nothing was changed")
        if signed := report.get("manifest"):
            typer.echo(f"the manifest is signed by {signed.name} ({signed.key_id:08x})")
        for text in report.get("not_covered", ()):
            typer.echo(f"not covered: {text}")
    return 0 if report["intact"] else 1


def register(group: typer.Typer) -> None:
    """Add the command."""
    group.command(help=teach(HELP))(verify)

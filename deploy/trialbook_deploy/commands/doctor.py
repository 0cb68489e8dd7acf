"""`trialbook doctor`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from trialbook_deploy.commands.options import AsJson, DataDir, NatsUrl, Url, teach

if TYPE_CHECKING:
    from trialbook_deploy.doctor.finding import Finding

HELP = """Check this machine and the running stack, and say what to do about what is not well.

Looks at Python, optional parts, the sandbox, disk space and language models; and of a running stack at the NATS server
(version, durability, streams and their sizes), the projector and its lag, the runners and their plugins, the gateway.

\b
Examples:
  trialbook doctor
  trialbook doctor --json | jq -r '.findings[].remedy'

Exit codes: 0 all is well or there are only warnings, 1 something fails, 2 wrong usage.
"""
LABELS = {"ok": ("ok  ", "green"), "warn": ("warn", "yellow"), "fail": ("fail", "bold red")}


def doctor(url: Url = None, nats_url: NatsUrl = None, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Check everything."""
    from trialbook_deploy.commands.kit import run

    run(_doctor(url, nats_url, data_dir, as_json))


async def _doctor(url: str | None, nats_url: str | None, data_dir: Path | None, as_json: bool) -> int:
    from trialbook_deploy.doctor import examine
    from trialbook_deploy.target import find

    findings = await examine(find(url, data_dir, nats_url))
    levels = [finding.level for finding in findings]
    worst = next((level for level in ("fail", "warn") if level in levels), "ok")
    if as_json:
        from trialbook_deploy.commands.show import write_json

        write_json({"worst": worst, "findings": findings})
    else:
        _write(findings)
    return 1 if worst == "fail" else 0


def _write(findings: list[Finding]) -> None:
    from rich.text import Text

    from trialbook_deploy.commands.show import console

    out = console()
    width = max(len(finding.check) for finding in findings)
    for finding in findings:
        label, style = LABELS[finding.level]
        out.print(Text.assemble((label, style), f"  {finding.check:<{width}}  {finding.text}"))
        if finding.level != "ok":
            out.print(Text(f"      {'':<{width}}  -> {finding.remedy}", style="dim"))


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(help=teach(HELP))(doctor)

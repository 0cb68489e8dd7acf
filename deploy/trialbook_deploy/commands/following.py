"""Watching one run to its end, and saying how it ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer
from rich.text import Text

from trialbook_deploy.commands.kit import Exit, complain
from trialbook_deploy.commands.show import STATUS_STYLES, console, harmless, write_json, write_json_line, write_table
from trialbook_deploy.commands.values import duration_text
from trialbook_deploy.commands.view import RunWatch

if TYPE_CHECKING:
    from trialbook.client import AsyncClient
    from trialbook.views import RunView

VERDICTS = {"completed": Exit.OK, "failed": Exit.FAILED, "cancelled": Exit.CANCELLED}
SHOWN_RESULT_BYTES = 4000


async def watch(client: AsyncClient, run: RunView, *, as_json: bool, quiet: bool) -> int:
    """Show a run until it has ended; the exit code is its verdict's."""
    if not as_json:
        console(err=True).print(f"{run.id} {run.workload} {run.status}", markup=False)
    with RunWatch(run.name or run.title or run.workload, as_json=as_json, quiet=quiet) as shown:
        async for update in client.runs.follow(run.id):
            shown.show(update)
    ended = await client.runs.wait(run.id)
    if as_json:
        write_json_line({"kind": "run", "item": ended})
    else:
        conclude(ended)
    return VERDICTS[ended.status]


def conclude(run: RunView) -> None:
    """The verdict, what was returned or went wrong, and what was stored."""
    import msgspec

    out = console()
    took = duration_text(run.started_at, run.finished_at)
    out.print(
        Text.assemble((run.status, STATUS_STYLES.get(run.status, "")), f" in {took}" if took else "", f"  {run.id}")
    )
    if run.error is not None:
        complain(harmless(f"{run.error.get('code')}: {run.error.get('detail')}"))
    if run.cancel_reason:
        out.print(Text(f"reason: {harmless(run.cancel_reason)}"))
    if run.result is not None:
        text = msgspec.json.format(msgspec.json.encode(run.result), indent=2).decode()
        cut = len(text) > SHOWN_RESULT_BYTES
        out.print(Text(text[:SHOWN_RESULT_BYTES] + (f"\n... {len(text)} characters in all (--json)" if cut else "")))
    elif run.result_blob:
        out.print(Text(f"The result is large; fetch it: GET /v1/runs/{run.id}/result"))
    for name, artifact in sorted(run.artifacts.items()):
        out.print(
            Text(f"artifact {harmless(name)}  {artifact.size:,} bytes  /v1/runs/{run.id}/artifacts/{harmless(name)}")
        )


def announce(run: RunView, as_json: bool) -> int:
    """Only the id of an accepted run, for scripts; all of it with --json."""
    if as_json:
        write_json(run)
    else:
        typer.echo(run.id)
    return Exit.OK


def goes_on(accepted: list[RunView]) -> None:
    """After Ctrl-C: the run is not ended by it."""
    for run in accepted:
        complain(f"run {run.id} goes on; `trialbook logs -f {run.id}` shows it, `trialbook cancel {run.id}` ends it")


async def list_workloads(client: AsyncClient, as_json: bool) -> int:
    """What can be run."""
    found = await client.workloads()
    if as_json:
        write_json(found)
        return Exit.OK
    rows = [(one.name, one.version, one.isolation, one.description.strip().split("\n")[0]) for one in found]
    write_table(("name", "version", "isolation", "what it does"), rows)
    return Exit.OK

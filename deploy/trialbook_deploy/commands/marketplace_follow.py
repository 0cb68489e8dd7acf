"""From an order to its outcome: upload, launch, follow live, report, export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.text import Text

from trialbook_deploy.commands.following import VERDICTS
from trialbook_deploy.commands.kit import complain
from trialbook_deploy.commands.marketplace_http import Market, written
from trialbook_deploy.commands.marketplace_orders import Destination, Folder
from trialbook_deploy.commands.marketplace_tables import write_outcome
from trialbook_deploy.commands.show import STATUS_STYLES, console, harmless, write_json
from trialbook_deploy.commands.values import duration_text
from trialbook_deploy.commands.view import RunWatch


class Shown:
    """How much is shown, and what to say when following is interrupted."""

    def __init__(self, *, as_json: bool, quiet: bool) -> None:
        self.as_json, self.quiet = as_json, quiet
        self.name = ""

    def interrupted(self) -> None:
        """After Ctrl-C."""
        if self.name:
            complain(
                f"experiment {self.name} goes on; `trialbook logs -f {self.name}` shows it, "
                f"`trialbook cancel {self.name}` ends it"
            )

    def say(self, text: str) -> None:
        """A line of progress, unless programs read the output."""
        if not self.as_json:
            console(err=True).print(text, markup=False)


async def dataset_of(market: Market, given: str, folder: Folder | None) -> str:
    """The service's name for a dataset; a folder that it does not have yet is uploaded."""
    if folder is None:
        return given
    if all(known["name"] != folder.name for known in await market.datasets()):
        await market.upload(folder.name, folder.archive)
    return folder.name


async def carry_out(market: Market, order: dict[str, Any], target: Destination | None, shown: Shown) -> int:
    """Launch an experiment and follow it to its end; the exit code is its verdict's."""
    launched = await market.launch({name: value for name, value in order.items() if value is not None})
    name = shown.name = str(launched["name"])
    run = await market.run_id(name)
    shown.say(f"experiment {name}: {market.url}/marketplace/api/experiments/{name}/dashboard")
    with RunWatch(name, quiet=shown.quiet or shown.as_json) as watch:
        async for update in market.client.runs.follow(run):
            if not shown.as_json:
                watch.show(update)
    ended = await market.client.runs.wait(run)
    status = await market.status(name)
    analytics = await market.report(name, "analytics") if ended.status == "completed" else None
    exported = await _export(market, name, target) if target is not None and analytics is not None else None
    if shown.as_json:
        write_json({**status, "run": run, "analytics": analytics, "export": exported and str(exported)})
        return VERDICTS[ended.status]
    took = duration_text(ended.started_at, ended.finished_at)
    style = STATUS_STYLES.get(ended.status, "")
    console().print(Text.assemble((ended.status, style), f" in {took}" if took else "", f"  {name}  {run}"))
    if status["error"]:
        complain(harmless(str(status["error"])))
    if analytics is not None:
        write_outcome(analytics)
    if exported is not None:
        console().print(f"exported to {exported}", markup=False)
    return VERDICTS[ended.status]


async def _export(market: Market, name: str, target: Destination) -> Path:
    path = target.path(name)
    await written(market.export(name, "sqlite", path), path)
    return path

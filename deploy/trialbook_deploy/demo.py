"""`trialbook up --demo`: one bundled marketplace experiment in front of the user, then what to try next.

Run as a program of its own by the supervisor: whatever happens to it, the stack goes on.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import msgspec
from rich.table import Table
from rich.text import Text

from trialbook.client import AsyncClient
from trialbook.errors import Invalid, Refusal
from trialbook.queries import LogView
from trialbook.views import RunView
from trialbook_deploy.commands.show import console
from trialbook_deploy.commands.values import duration_text
from trialbook_deploy.commands.view import RunWatch
from trialbook_deploy.state import default_data_dir, read_state

WORKLOAD, DATASET = "marketplace", "mexican_3_9"
ANNOUNCED_SECONDS = 20.0
ENDED_SECONDS = 120.0
POLL_SECONDS = 0.1
SPEAKERS = ("marketplace_experiment", "customer_0001")  # one customer's story; the whole log would hide it
SHOWN_LINE_CHARACTERS = 110


def main() -> int:
    """Run the demonstration; the exit code is 0 when the experiment completed."""
    out = console()
    try:
        return asyncio.run(_demonstrate())
    except Refusal as refusal:
        out.print(Text(f"The demonstration did not work: {refusal.detail} Trialbook itself is up."))
    except TimeoutError:
        out.print(Text(f"The demonstration did not end within {ENDED_SECONDS:.0f} s; Trialbook itself is up."))
    return 1


async def _demonstrate() -> int:
    async with AsyncClient(token=_token()) as client:
        await _announced(client)
        title = f"Demonstration: {DATASET}"
        run = await client.runs.submit(WORKLOAD, {"dataset": DATASET}, title=title, labels={"demo": "yes"})
        console().print(Text(f"\nDemonstration: a marketplace experiment on the dataset {DATASET} (run {run.id})"))
        console().print(Text("Three customers search among nine businesses, negotiate and pay; no LLM, no network."))
        async with asyncio.timeout(ENDED_SECONDS):
            left_out = await _show(client, run)
        ended = await client.runs.wait(run.id)
        rows = await _customers(client, ended) if ended.status == "completed" else []
    _conclude(ended, rows, left_out)
    _what_next(client.url, ended)
    return 0 if ended.status == "completed" else 1


def _token() -> str | None:
    """A token for the stack's own gateway, when it asks for one: the first it was given (`name:token[:...]`)."""
    first = os.environ.get("TRIALBOOK_API_TOKENS", "").partition(",")[0].split(":")
    return first[1] if len(first) > 1 and not os.environ.get("TRIALBOOK_TOKEN") else None


async def _announced(client: AsyncClient) -> None:
    """Wait until a runner offers the workload: it says so a moment after the gateway is ready."""
    deadline = asyncio.get_running_loop().time() + ANNOUNCED_SECONDS
    while not any(known.name == WORKLOAD and known.available for known in await client.workloads()):
        if asyncio.get_running_loop().time() > deadline:
            raise Invalid(
                "no_runner", f"No runner offers {WORKLOAD!r} after {ANNOUNCED_SECONDS:.0f} s; is one running?"
            )
        await asyncio.sleep(POLL_SECONDS)


async def _show(client: AsyncClient, run: RunView) -> int:
    """The run live: the lines of one customer, and the progress. Returns how many lines were left out."""
    left_out = 0
    with RunWatch(DATASET) as shown:
        async for update in client.runs.follow(run.id):
            if not isinstance(update, LogView):
                shown.show(update)
            elif update.logger in SPEAKERS:
                shown.show(_shortened(update))
            else:
                left_out += 1
    return left_out


def _shortened(line: LogView) -> LogView:
    text = line.message or ""
    if len(text) <= SHOWN_LINE_CHARACTERS:
        return line
    return msgspec.structs.replace(line, message=text[: SHOWN_LINE_CHARACTERS - 3] + "...")


async def _customers(client: AsyncClient, run: RunView) -> list[dict[str, Any]]:
    """What became of each customer, from the artifact with the whole analysis."""
    found: dict[str, Any] = msgspec.json.decode(await client.runs.read_artifact(run.id, "analytics.json"))
    customers: list[dict[str, Any]] = found["customer_summaries"]
    return customers


def _conclude(run: RunView, customers: list[dict[str, Any]], left_out: int) -> None:
    out = console()
    if left_out:
        out.print(Text(f"... and {left_out} lines of the other agents"))
    if run.status != "completed":
        detail = run.error.get("detail") if run.error else run.cancel_reason
        out.print(Text(f"The experiment ended as {run.status}: {detail or 'no reason was given'}"))
        return
    result = run.result
    out.print()
    out.print(_customer_table(customers))
    total, baselines = result["total_marketplace_customer_utility"], result["baselines"]
    share = baselines.get("welfare_share_of_optimal")
    out.print(
        Text(
            f"\n{result['customers_who_made_purchases']} of {result['total_customers']} customers purchased, "
            f"{result['customers_with_needs_met']} with all needs met; welfare {total:.2f}"
            + (f", {share:.0%} of the optimum" if share is not None else "")
            + f"; {result['total_actions_executed']} actions in {duration_text(run.started_at, run.finished_at)}."
        )
    )


def _customer_table(customers: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("customer")
    table.add_column("name")
    for column in ("searches", "messages", "proposals", "purchases", "utility"):
        table.add_column(column, justify="right")
    table.add_column("needs met")
    for one in customers:
        table.add_row(
            Text(one["customer_id"]), Text(one["customer_name"]), str(one["searches_made"]), str(one["messages_sent"]),
            str(one["proposals_received"]), str(one["payments_made"]), f"{one['utility']:.2f}",
            Text("yes", style="green") if one["needs_met"] else Text("no", style="red"),
        )  # fmt: skip
    return table


def _what_next(url: str, run: RunView) -> None:
    """Commands that work as they stand, in this shell and with this stack."""
    secret = ' -H "Authorization: Bearer $TRIALBOOK_TOKEN"' if os.environ.get("TRIALBOOK_API_TOKENS") else ""
    curl, command = f"curl{secret}", _command()
    order = '{"dataset": "mexican_10_30", "experiment_name": "my_experiment"}'
    statement = "SELECT status, count(*) AS n FROM runs GROUP BY ALL"
    state = read_state(default_data_dir())
    found_by_itself = state is not None and state.url == url
    lines = [
        "",
        "What to try next:",
        f"  {url}/docs  is the API, to try in a browser",
        f"  {curl} {url}/v1/runs/{run.id}",
        f"  {curl} -N {url}/v1/runs/{run.id}/stream",
        f"  {curl} {url}/v1/sql -H 'Content-Type: text/plain' -d '{statement}'",
        f"  {curl} {url}/marketplace/api/experiments -H 'Content-Type: application/json' -d '{order}'",
        *([] if found_by_itself else [f"  export TRIALBOOK_URL={url}"]),
        f"  {command} run {WORKLOAD} -p dataset=mexican_100_300",
        f"  {command} runs        {command} logs last        {command} doctor",
        "",
    ]
    console().print(Text("\n".join(lines)))


def _command() -> str:
    """How this shell calls `trialbook`: by name if it is on the PATH, else by its file."""
    if shutil.which("trialbook"):
        return "trialbook"
    path = Path(sys.executable).parent / "trialbook"
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


if __name__ == "__main__":
    sys.exit(main())

"""`trialbook run`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from trialbook_deploy.commands.options import AsJson, DataDir, Url, Workspace, teach

if TYPE_CHECKING:
    from trialbook.client import AsyncClient
    from trialbook.views import RunView

PRIORITIES = ("critical", "high", "normal", "low")
ISOLATIONS = ("inline", "task", "process", "sandbox")
HELP = """Run a workload and show its log lines and progress until it ends.

Parameters come from --params-file (JSON objects; - is standard input) and then from -p key=value. A value that is
JSON is taken as such (3, true, "3", a list), any other as text; a dotted key sets a member of an object. Ctrl-C stops
the showing, not the run.

\b
Examples:
  trialbook run noop
  trialbook run marketplace -p dataset=mexican_3_9 --name first
  trialbook run command -p 'argv=["python","train.py"]' --input data=train.csv
  trialbook run marketplace --params-file base.json -p search_bandwidth=5 -l team=a
  trialbook run marketplace -p dataset=mexican_3_9 --sweep seed='\\[1,2,3]'
  id=$(trialbook run noop --detach)

\b
Exit codes: 0 completed (or accepted, with --detach), 1 failed, 2 wrong usage or
refused parameters, 3 cancelled, 130 Ctrl-C.
"""


class Order(NamedTuple):
    """What was asked for."""

    workload: str
    params: dict[str, Any]
    options: dict[str, Any]
    inputs: dict[str, Path]


def run(
    workload: Annotated[str, typer.Argument(help="Its name; `trialbook run --list` shows all.")] = "",
    param: Annotated[list[str] | None, typer.Option("--param", "-p", help="One parameter, key=value.")] = None,
    params_file: Annotated[
        list[Path] | None, typer.Option("--params-file", help="A JSON object of parameters.")
    ] = None,
    name: Annotated[str, typer.Option("--name", help="A name, unique in the workspace.")] = "",
    title: Annotated[str, typer.Option("--title", help="A title for people.")] = "",
    label: Annotated[list[str] | None, typer.Option("--label", "-l", help="A label, k=v.")] = None,
    inputs: Annotated[list[str] | None, typer.Option("--input", help="Upload a file as input, name=path.")] = None,
    sweep: Annotated[
        list[str] | None, typer.Option("--sweep", help="One child run per value, key=<JSON list>; a grid if repeated.")
    ] = None,
    priority: Annotated[str, typer.Option("--priority", help=f"One of {', '.join(PRIORITIES)}.")] = "normal",
    pool: Annotated[str, typer.Option("--pool", help="Which runners.", show_default="the workload's")] = "",
    isolation: Annotated[
        str, typer.Option("--isolation", help=f"Stronger walls, one of {', '.join(ISOLATIONS)}.")
    ] = "",
    timeout: Annotated[float | None, typer.Option("--timeout", min=0.001, help="Seconds one attempt may take.")] = None,
    attempts: Annotated[int, typer.Option("--attempts", min=1, help="How often it is tried if it fails.")] = 1,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of its random numbers.")] = 0,
    data_subject: Annotated[
        str, typer.Option("--data-subject", help="Whose personal data it holds; `trialbook erase` erases it.")
    ] = "",
    follow: Annotated[bool, typer.Option("--follow/--detach", help="Watch it, or only print its id.")] = True,
    quiet: Annotated[bool, typer.Option("--quiet", help="Without log lines.")] = False,
    show_list: Annotated[bool, typer.Option("--list", help="Show the workloads there are.")] = False,
    url: Url = None,
    workspace: Workspace = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Run a workload."""
    from trialbook_deploy.commands import following, values
    from trialbook_deploy.commands.kit import choose, usage_error, with_client

    if show_list:
        with_client(url, data_dir, workspace, lambda client: following.list_workloads(client, as_json))
    if not workload:
        usage_error("Which workload? `trialbook run --list` shows all; `trialbook run noop` is the smallest.")
    choose(priority, PRIORITIES, "--priority")
    choose(isolation or "process", ISOLATIONS, "--isolation")
    options: dict[str, Any] = {
        "name": name or None, "title": title, "labels": values.pairs(label or [], "--label"), "priority": priority,
        "pool": pool or None, "isolation": isolation or None, "timeout_s": timeout, "seed": seed,
        "retry": values.retry(attempts), "sweep": values.sweep(sweep or []),
    }  # fmt: skip
    order = Order(workload, values.params(params_file or [], param or []), options, values.files(inputs or []))
    accepted: list[RunView] = []

    async def work(client: AsyncClient) -> int:
        uploaded = {name: (await client.files.upload(path)).data["sha256"] for name, path in order.inputs.items()}
        view = await client.runs.submit(order.workload, order.params, inputs=uploaded, **order.options)
        accepted.append(view)
        if not follow:
            return following.announce(view, as_json)
        return await following.watch(client, view, as_json=as_json, quiet=quiet)

    with_client(
        url, data_dir, workspace, work, on_interrupt=lambda: following.goes_on(accepted), data_subject=data_subject
    )


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(help=teach(HELP))(run)

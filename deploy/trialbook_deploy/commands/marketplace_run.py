"""`trialbook marketplace run`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trialbook_deploy.commands.options import AsJson, DataDir, Url, Workspace, teach

if TYPE_CHECKING:
    from trialbook_deploy.commands.marketplace_http import Market

HELP = """Run an experiment and follow it to its end.

DATASET is a folder on this machine with `customers` and `businesses`, which is uploaded, or the name of a dataset that
the service has. Agents ask a model where the service has one configured; see --customer-policy.

--env-file is read for what an order may say: LLM_PROVIDER, LLM_MODEL, LLM_TEMPERATURE, LLM_REASONING_EFFORT and
LLM_MAX_TOKENS. Keys stay where the agents run: in the environment of the runners.

\b
Examples:
  trialbook marketplace run mexican_3_9
  trialbook marketplace run ./my_dataset --experiment-name mine --override-db
  trialbook marketplace run mexican_10_30 --customer-policy cheapest --export

Ctrl-C stops following; the experiment goes on.

Exit codes: 0 completed, 1 failed, 2 wrong usage, 3 cancelled.
"""
Dataset = Annotated[str, typer.Argument(metavar="DATASET", help="A dataset folder, or the name of a known dataset.")]
Algorithm = Annotated[str, typer.Option("--search-algorithm", help="simple, filtered, lexical, optimal or rnr.")]
Bandwidth = Annotated[int, typer.Option("--search-bandwidth", min=1, help="Results per page of a search.")]
Steps = Annotated[int, typer.Option("--customer-max-steps", min=1, help="Steps a customer may take.")]
Name = Annotated[
    str | None, typer.Option("--experiment-name", help="Its name.", show_default="made up from dataset and time")
]
EnvFile = Annotated[
    Path | None, typer.Option("--env-file", exists=True, dir_okay=False, help="Model settings as NAME=value lines.")
]
Override = Annotated[bool, typer.Option("--override-db", help="Take the name over from an earlier experiment.")]
Export = Annotated[bool, typer.Option("--export", help="Fetch the history as an SQLite file at the end.")]
ExportDir = Annotated[Path, typer.Option("--export-dir", file_okay=False, help="Where to, created when missing.")]
ExportFile = Annotated[
    str | None, typer.Option("--export-filename", help="Its file name.", show_default="the experiment's and .db")
]
Policy = Annotated[str | None, typer.Option(help="llm, or rules: random, cheapest, ...", show_default="the service's")]
Seed = Annotated[int, typer.Option("--seed", help="The same seed and dataset give the same experiment.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Leave the log lines out.")]


def run(
    dataset: Dataset,
    search_algorithm: Algorithm = "lexical",
    search_bandwidth: Bandwidth = 10,
    customer_max_steps: Steps = 100,
    experiment_name: Name = None,
    env_file: EnvFile = None,
    override_db: Override = False,
    export: Export = False,
    export_dir: ExportDir = Path(),
    export_filename: ExportFile = None,
    customer_policy: Policy = None,
    business_policy: Policy = None,
    seed: Seed = 0,
    quiet: Quiet = False,
    url: Url = None,
    workspace: Workspace = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Run an experiment."""
    from trialbook_deploy.commands import marketplace_follow as follow
    from trialbook_deploy.commands.marketplace_http import with_market
    from trialbook_deploy.commands.marketplace_orders import archived, destination, settings_of

    order: dict[str, Any] = {
        "search_algorithm": search_algorithm, "search_bandwidth": search_bandwidth,
        "customer_max_steps": customer_max_steps, "experiment_name": experiment_name, "override": override_db,
        "customer_policy": customer_policy, "business_policy": business_policy, "seed": seed,
        **(settings_of(env_file) if env_file else {}),
    }  # fmt: skip
    folder = archived(dataset)
    target = destination(export_dir, export_filename) if export or export_filename else None
    shown = follow.Shown(as_json=as_json, quiet=quiet)

    async def work(market: Market) -> int:
        name = await follow.dataset_of(market, dataset, folder)
        return await follow.carry_out(market, {**order, "dataset": name}, target, shown)

    with_market(url, data_dir, workspace, work, shown.interrupted)


def register(group: typer.Typer) -> None:
    """Add the command."""
    group.command(name="run", help=teach(HELP))(run)

"""`trialbook marketplace analyze`, `audit`, `extract-traces`, `export` and `list-experiments`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trialbook_deploy.commands.options import AsJson, DataDir, Url, Workspace, teach

if TYPE_CHECKING:
    from trialbook_deploy.commands.marketplace_http import Market

ANALYZE = """Analyse an experiment: who bought what, how well, compared with the best there was; also while it runs.

The whole analysis is saved as `<name>_analytics.json` in the current folder, unless --no-save-json.

\b
Examples:
  trialbook marketplace analyze first
  trialbook marketplace analyze first --fuzzy-match-distance 2 --json | jq .baselines
"""
AUDIT = """Check whether every proposal was in its customer's last call of a model, and who could have bought better.

Exit codes: 0 all were seen, 1 some were missing or there is no such experiment, 2 wrong usage.
"""
TRACES = """Write what each customer's model last saw, and every conversation, as Markdown files.

\b
Examples:
  trialbook marketplace extract-traces first
  trialbook marketplace extract-traces first --output traces/
"""
EXPORT = """Fetch the history of a finished experiment: agents, actions and logs.

sqlite is one database file, jsonl compressed JSON Lines, parquet a ZIP archive of Parquet files.

\b
Examples:
  trialbook marketplace export first
  trialbook marketplace export first --format parquet --output first.zip
"""
LIST = "List the experiments, newest first."
SUFFIXES = {"sqlite": ".db", "jsonl": ".ndjson.gz", "parquet": ".parquet.zip"}
Name = Annotated[str, typer.Argument(metavar="NAME", help="The experiment's name.")]
Distance = Annotated[
    int, typer.Option("--fuzzy-match-distance", min=0, max=20, help="Spelling mistakes forgiven in items' names.")
]


def analyze(
    name: Name,
    fuzzy_match_distance: Distance = 0,
    no_save_json: Annotated[bool, typer.Option("--no-save-json", help="Write no file.")] = False,
    url: Url = None,
    workspace: Workspace = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Analyse an experiment."""
    from trialbook_deploy.commands.marketplace_http import with_market

    async def work(market: Market) -> int:
        from trialbook_deploy.commands.marketplace_tables import write_analysis
        from trialbook_deploy.commands.show import console, write_json

        found = await market.report(name, "analytics", fuzzy_match_distance=fuzzy_match_distance)
        if as_json:
            write_json(found)
        else:
            write_analysis(name, found)
        if not no_save_json:
            path = _save_json(Path(f"{name}_analytics.json"), found)
            console(err=True).print(f"saved {path}", markup=False)
        return 0

    with_market(url, data_dir, workspace, work)


def audit(
    name: Name,
    url: Url = None,
    workspace: Workspace = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Audit the proposals of an experiment."""
    from trialbook_deploy.commands.marketplace_http import with_market

    async def work(market: Market) -> int:
        from trialbook_deploy.commands.marketplace_tables import write_audit
        from trialbook_deploy.commands.show import write_json

        found = await market.report(name, "audit")
        if as_json:
            write_json(found)
        else:
            write_audit(name, found)
        return 1 if found["missing"] else 0

    with_market(url, data_dir, workspace, work)


def extract_traces(
    name: Name,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", file_okay=False, help="Folder.", show_default="<name>_traces")
    ] = None,
    url: Url = None,
    workspace: Workspace = None,
    data_dir: DataDir = None,
) -> None:
    """Write the traces of an experiment's agents."""
    from trialbook_deploy.commands.marketplace_http import with_market

    async def work(market: Market) -> int:
        from trialbook_deploy.commands.show import console

        documents = await market.report(name, "traces")
        folder = output or Path(f"{name}_traces")
        for document, text in documents.items():
            _write_inside(folder, document, text)
        console().print(f"{len(documents)} documents in {folder}", markup=False)
        return 0

    with_market(url, data_dir, workspace, work)


def export(
    name: Name,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", dir_okay=False, help="File.", show_default="<name>.db, ...")
    ] = None,
    file_format: Annotated[str, typer.Option("--format", help="sqlite, jsonl or parquet.")] = "sqlite",
    url: Url = None,
    workspace: Workspace = None,
    data_dir: DataDir = None,
) -> None:
    """Fetch the history of an experiment."""
    from trialbook_deploy.commands.kit import choose
    from trialbook_deploy.commands.marketplace_http import with_market, written

    choose(file_format, tuple(SUFFIXES), "--format")

    async def work(market: Market) -> int:
        from trialbook_deploy.commands.show import console

        path = output or Path(f"{name}{SUFFIXES[file_format]}")
        size = await written(market.export(name, file_format, path), path)
        console().print(f"{path}: {size:,} bytes", markup=False)
        return 0

    with_market(url, data_dir, workspace, work)


def list_experiments(
    limit: Annotated[
        int | None, typer.Option("--limit", "-n", min=1, help="At most so many.", show_default="all")
    ] = None,
    url: Url = None,
    workspace: Workspace = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """List the experiments."""
    from trialbook_deploy.commands.marketplace_http import with_market

    async def work(market: Market) -> int:
        from trialbook_deploy.commands.show import write_json, write_table

        found = await market.experiments(limit)
        if as_json:
            write_json(found)
            return 0
        columns = ("name", "first activity", "last activity", "agents", "actions", "logs", "models")
        rows = [
            (
                one["schema_name"], one["first_activity"], one["last_activity"], one["agents_count"],
                one["actions_count"], one["logs_count"], ", ".join(one["llm_providers"]) or None,
            )
            for one in found
        ]  # fmt: skip
        write_table(columns, rows, right=frozenset({"agents", "actions", "logs"}))
        return 0

    with_market(url, data_dir, workspace, work)


def _save_json(path: Path, found: object) -> Path:
    import msgspec

    from trialbook_deploy.errors import DeployError

    try:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n")
    except OSError as error:
        raise DeployError(f"{path} cannot be written: {error.strerror}.") from error
    return path


def _write_inside(folder: Path, name: str, text: str) -> None:
    """Names come from the service and are not trusted to stay in the folder."""
    from trialbook_deploy.errors import DeployError

    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise DeployError(f"A document named {name!r} leads out of {folder}.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    except OSError as error:
        raise DeployError(f"{path} cannot be written: {error.strerror}.") from error


def register(group: typer.Typer) -> None:
    """Add the commands."""
    group.command(name="analyze", help=teach(ANALYZE))(analyze)
    group.command(name="audit", help=teach(AUDIT))(audit)
    group.command(name="extract-traces", help=teach(TRACES))(extract_traces)
    group.command(name="export", help=teach(EXPORT))(export)
    group.command(name="list-experiments", help=teach(LIST))(list_experiments)

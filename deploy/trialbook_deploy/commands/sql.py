"""`trialbook sql`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trialbook_deploy.commands.options import AsJson, DataDir, Url, Workspace, teach

if TYPE_CHECKING:
    from trialbook.client import AsyncClient
    from trialbook.queries import SqlResult

HELP = """Ask one SELECT over runs, facts, logs, metrics and rows of the workspace (DuckDB's SQL).

Without a statement, or with `-`, it is read from standard input. `?` in it takes the values of --param in order.

\b
Examples:
  trialbook sql "SELECT status, count(*) AS n FROM runs GROUP BY ALL"
  trialbook sql "SELECT * FROM logs WHERE run = ?" -p 01931a7e...
  trialbook sql --csv "SELECT * FROM metrics" > metrics.csv
  trialbook sql --output metrics.parquet "SELECT * FROM metrics"
  trialbook sql < question.sql

\b
The tables:
  trialbook sql "DESCRIBE runs"

Exit codes: 0 done, 1 it did not work, 2 the statement was refused.
"""
FORMATS = {
    ".csv": "text/csv",
    ".parquet": "application/vnd.apache.parquet",
    ".arrow": "application/vnd.apache.arrow.stream",
}


def sql(
    statement: Annotated[str, typer.Argument(help="The SELECT; - or nothing: standard input.")] = "-",
    param: Annotated[
        list[str] | None, typer.Option("--param", "-p", help="Value of the next `?`; JSON, else text.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Most rows to fetch.")] = 10_000,
    timeout: Annotated[float, typer.Option("--timeout", min=0.1, help="Seconds the statement may take.")] = 10.0,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV with a header.")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write .csv, .parquet or .arrow instead of printing.")
    ] = None,
    url: Url = None,
    workspace: Workspace = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Ask SQL."""
    from trialbook_deploy.commands.kit import usage_error, with_client
    from trialbook_deploy.commands.values import json_or_text

    if as_json and as_csv:
        usage_error("Give either --json or --csv.")
    if output is not None and output.suffix not in FORMATS:
        usage_error(f"--output {output} must end in {', '.join(FORMATS)}.")
    if statement == "-" and sys.stdin.isatty():
        usage_error('There is no statement. Example: trialbook sql "SELECT status, count(*) FROM runs GROUP BY ALL"')
    text = sys.stdin.read() if statement == "-" else statement
    values = [json_or_text(one) for one in param or []]

    async def work(client: AsyncClient) -> int:
        if output is not None:
            media_type = FORMATS[output.suffix]
            content = await client.sql_bytes(text, values, media_type=media_type, max_rows=limit, timeout_s=timeout)
            output.write_bytes(content)
            return 0
        _write(await client.sql(text, values, max_rows=limit, timeout_s=timeout), as_json, as_csv)
        return 0

    with_client(url, data_dir, workspace, work)


def _write(result: SqlResult, as_json: bool, as_csv: bool) -> None:
    from trialbook_deploy.commands.show import console, write_csv, write_json, write_table

    names = [column["name"] for column in result.columns]
    if as_json:
        rows = [dict(zip(names, row, strict=True)) for row in result.rows]
        write_json({"columns": result.columns, "rows": rows, "truncated": result.truncated})
    elif as_csv:
        write_csv(names, result.rows)
    else:
        numbers = frozenset(
            name
            for index, name in enumerate(names)
            if result.rows and all(isinstance(row[index], int | float) for row in result.rows)
        )
        write_table(names, result.rows, right=numbers)
    if result.truncated:
        console(err=True).print(f"... cut after {len(result.rows)} rows: --limit N")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(help=teach(HELP))(sql)

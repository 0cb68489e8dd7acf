"""The Parquet export: a ZIP archive of tables that the projector writes, so that nothing here needs its libraries."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import zipfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Literal

import msgspec
from starlette.background import BackgroundTask
from starlette.responses import FileResponse

from trialbook.errors import TooLarge
from trialbook.queries import Sql, SqlResult
from trialbook.signals import MAX_RECORDS, cursor
from trialbook_gateway.dialects.marketplace.errors import not_found
from trialbook_gateway.dialects.marketplace.experiments import Experiment
from trialbook_gateway.services import Caller, Services
from trialbook_marketplace.rows import EXPERIMENT

MEDIA_TYPE = "application/zip"
PIECE_ROWS = 50_000
SQL_TIMEOUT_S, MARGIN_S = 30.0, 2.0
_OF_RUN = "run = ? AND attempt = ? AND cursor <= ?"
_COUNTS = f"""
SELECT (SELECT coalesce(max(index), 0) FROM records WHERE kind = 'agent' AND {_OF_RUN}),
    (SELECT coalesce(max(index), 0) FROM records WHERE kind = 'action' AND {_OF_RUN}),
    (SELECT count(*) FROM logs WHERE {_OF_RUN})
"""  # noqa: S608 -- constants
# An agent that was registered again is there again under its first index; the later one counts.
_ROWS = """
SELECT index, id, time AS created_at, CAST(data AS VARCHAR) AS data FROM records
WHERE kind = '{kind}' AND {of_run} AND index BETWEEN ? AND ?
QUALIFY row_number() OVER (PARTITION BY index ORDER BY cursor DESC) = 1 ORDER BY index
"""
_LOGS = f"""
SELECT * FROM (
    SELECT row_number() OVER (ORDER BY cursor) AS index, format('{{}}-{{:x}}', run, cursor) AS id, time AS created_at,
        CAST(json_object('level', level, 'name', logger, 'message', message, 'data', data, 'metadata',
            CASE WHEN logger <> '{EXPERIMENT}' THEN json_object('agent_id', logger) END) AS VARCHAR) AS data
    FROM logs WHERE {_OF_RUN})
WHERE index BETWEEN ? AND ? ORDER BY index
"""  # noqa: S608 -- constants
TABLES = {
    "agents": _ROWS.format(kind="agent", of_run=_OF_RUN),
    "actions": _ROWS.format(kind="action", of_run=_OF_RUN),
    "logs": _LOGS,
}
_table = msgspec.json.Decoder(SqlResult).decode


async def parquet_archive(services: Services, caller: Caller, experiment: Experiment) -> FileResponse:
    """``agents.parquet``, ``actions.parquet``, ``logs.parquet``, each with ``index``, ``id``, ``created_at``, ``data``.

    What does not fit into one answer of the projector goes on in ``logs-2.parquet`` and so on. Raises 404 before the
    end of the run and for one that recorded nothing.
    """
    if not experiment.finished:
        raise not_found("no_export", f"Experiment '{experiment.name}' has no export yet")
    end = cursor(experiment.signal_sequence, MAX_RECORDS - 1)
    tables = _Tables(services, caller, experiment, [experiment.id, experiment.attempt, end])
    counts = await tables.counts()
    if not counts["agents"] and not counts["logs"]:
        raise not_found("no_export", f"Experiment '{experiment.name}' has no export: it recorded nothing")
    folder = Path(tempfile.mkdtemp(prefix="trialbook-export-"))
    try:
        path = folder / "export.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:  # the tables are compressed themselves
            for table, count in counts.items():
                await tables.write(table, count, lambda name, body: asyncio.to_thread(_add, archive, name, body))
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    done = BackgroundTask(shutil.rmtree, folder, ignore_errors=True)
    return FileResponse(path, media_type=MEDIA_TYPE, filename=f"{experiment.name}.parquet.zip", background=done)


class _Tables:
    """Questions to the projector about one run; ``bounds`` are its id, its attempt and its last cursor."""

    def __init__(self, services: Services, caller: Caller, experiment: Experiment, bounds: list[Any]) -> None:
        self._services, self._caller, self._experiment, self._bounds = services, caller, experiment, bounds

    async def counts(self) -> dict[str, int]:
        """Rows per table."""
        found = _table(await self._ask(_COUNTS, self._bounds * len(TABLES), 1, "json")).rows[0]
        return dict(zip(TABLES, map(int, found), strict=True))

    async def write(self, table: str, count: int, add: Callable[[str, bytes], Awaitable[None]]) -> None:
        """Hand over a table as files, in pieces that are made smaller when an answer cannot hold them."""
        first, rows, number = 1, PIECE_ROWS, 1
        while first <= max(1, count):
            params = [*self._bounds, first, first + rows - 1]
            try:
                body = await self._ask(TABLES[table], params, rows, "parquet")
            except TooLarge:
                if rows == 1:
                    raise
                rows = max(1, rows // 4)
                continue
            await add(f"{table}.parquet" if number == 1 else f"{table}-{number}.parquet", body)
            first, number = first + rows, number + 1

    async def _ask(self, sql: str, params: list[Any], rows: int, form: Literal["json", "parquet"]) -> bytes:
        question = Sql(
            sql=sql, params=params, format=form, max_rows=rows, timeout_s=SQL_TIMEOUT_S,
            at_least=self._experiment.sequence, at_least_signals=self._experiment.signals,
        )  # fmt: skip
        body, _ = await self._services.ask.ask_bytes(self._caller.workspace, question, SQL_TIMEOUT_S + MARGIN_S)
        return body


def _add(archive: zipfile.ZipFile, name: str, body: bytes) -> None:
    archive.writestr(zipfile.ZipInfo(name), body)  # without the time of writing: the same run, the same archive

"""The Parquet export against the SQLite export of the same run."""

from __future__ import annotations

import io
import zipfile
from datetime import UTC
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.dialects.marketplace.client import Market
from tests.dialects.marketplace.conftest import Processes, halfway
from trialbook.errors import TooLarge
from trialbook.times import rfc3339
from trialbook_gateway.dialects.marketplace.parquet import PIECE_ROWS, _Tables
from trialbook_marketplace.analytics import analyse
from trialbook_marketplace.export import read_sqlite
from trialbook_marketplace.rows import History, Row

pytestmark = pytest.mark.integration


async def export(market: Market, name: str, form: str) -> bytes:
    reply = await market.http.get(f"/marketplace/api/experiments/{name}/export", params={"format": form})
    assert reply.status_code == 200, reply.text
    if form == "parquet":
        assert reply.headers["content-type"] == "application/zip"
        assert f"{name}.parquet.zip" in reply.headers["content-disposition"]
    return reply.content


def read(content: bytes) -> History:
    tables: dict[str, list[Row]] = {}
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for member in archive.namelist():
            table = pq.read_table(pa.BufferReader(archive.read(member)))
            assert table.schema.names == ["index", "id", "created_at", "data"]
            assert table.schema.metadata[b"truncated"] == b"false"
            tables.setdefault(member.split(".")[0], []).extend(map(row, table.to_pylist()))
    assert list(tables) == ["agents", "actions", "logs"]
    return History(**tables)


def row(values: dict[str, Any]) -> Row:
    moment = rfc3339(values["created_at"].replace(tzinfo=UTC))
    return {**values, "created_at": moment, "data": msgspec.json.decode(values["data"])}


def timeless(row: Row) -> Row:
    """Without the time, which the runner takes for its own files some microseconds before it records the row."""
    return {key: value for key, value in row.items() if key != "created_at"}


async def test_the_tables_hold_what_the_sqlite_file_holds(market: Market, name: str, tmp_path: Path) -> None:
    await market.done(name, dataset="mexican_10_30", export_sqlite=True)
    history = read(await export(market, name, "parquet"))
    path = tmp_path / "same.db"
    path.write_bytes(await export(market, name, "sqlite"))
    same = read_sqlite(path)
    for mine, theirs in ((history.agents, same.agents), (history.actions, same.actions)):
        assert list(map(timeless, mine)) == list(map(timeless, theirs))
    assert [line["index"] for line in history.logs] == list(range(1, len(same.logs) + 1))
    assert [line["data"] for line in history.logs] == [line["data"] for line in same.logs]
    shown = await market.pages(name, 1000)
    assert [line["created_at"] for line in history.logs] == [entry["timestamp"] for entry in shown]
    assert analyse(history.agents, history.actions, history.logs) == await market.get(f"{name}/analytics")


async def test_a_cancelled_run_is_exported_to_where_it_came(market: Market, stack: Processes, name: str) -> None:
    async with halfway(market, stack, name):
        early = await market.http.get(f"/marketplace/api/experiments/{name}/export", params={"format": "parquet"})
        assert (early.status_code, early.json()) == (404, {"detail": f"Experiment '{name}' has no export yet"})
        await market.http.post(f"/marketplace/api/experiments/{name}/cancel")
    assert (await market.finished(name))["error"] == "Cancelled"
    history = read(await export(market, name, "parquet"))
    assert len(history.logs) == (await market.get(f"{name}/logs"))["total"]


async def test_a_table_too_large_for_an_answer_comes_in_pieces() -> None:
    class Narrow(_Tables):
        """The projector's answers hold at most 20,000 rows here."""

        async def _ask(self, sql: str, params: list[Any], rows: int, form: str) -> bytes:
            if rows > 20_000:
                raise TooLarge("reply_too_large", "too large")
            return f"{params[-2]}-{params[-1]}".encode()

    written: list[tuple[str, bytes]] = []

    async def add(name: str, body: bytes) -> None:
        written.append((name, body))

    tables = Narrow(None, None, None, ["run", 1, 0])  # type: ignore[arg-type] # it asks nobody
    await tables.write("logs", 30_000, add)
    step = PIECE_ROWS // 4
    assert written == [
        ("logs.parquet", f"1-{step}".encode()),
        ("logs-2.parquet", f"{step + 1}-{2 * step}".encode()),
        ("logs-3.parquet", f"{2 * step + 1}-{3 * step}".encode()),
    ]

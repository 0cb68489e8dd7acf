"""SQL of users: what it may say, what it sees, and everything that must not get through."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.projector.support import Book, Ledger
from trialbook.domain.run import events as e
from trialbook.errors import Invalid, Refusal, TimedOut, TooLarge
from trialbook.queries import Sql, SqlResult
from trialbook_projector import sql
from trialbook_projector.readers import Readers
from trialbook_projector.settings import Settings
from trialbook_projector.tables.writer import Capacity

SECRET = "zq-secret-of-theirs"
Run = Callable[..., Awaitable[sql.Result]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    book, ledger = Book(tmp_path_factory.mktemp("sql") / "tables.duckdb", Capacity()), Ledger()
    for workspace, text in (("mine", "41"), ("theirs", SECRET)):
        one = ledger.run(workspace=workspace, title=text, params={"secret": text}, labels={"t": text})
        ledger.fact("run", one, e.Started(attempt=1, runner=text), workspace)
        ledger.signal(one, "log", [{"time": n, "message": text} for n in range(50)], workspace=workspace)
        ledger.signal(one, "metric", [{"time": 1, "name": text, "value": 1.0}], workspace=workspace)
    book.apply(ledger)
    book.store.writer.execute("CHECKPOINT")  # statistics are those of the stored row groups
    readers = Readers(book.store, threads=1, queue=4, name="sql")

    async def run_one(text: str, workspace: str = "mine", room: int = 1 << 20, **other: Any) -> sql.Result:
        return await sql.run(readers, workspace, Sql(sql=text, **other), Settings(), room)

    yield run_one
    asyncio.run(readers.close())
    book.store.close()


async def rows(run: Run, text: str, **other: Any) -> list[list[Any]]:
    return msgspec.json.decode((await run(text, **other)).payload, type=SqlResult).rows


ESCAPES = [
    "SELECT * FROM book.logs",
    "SELECT * FROM tables.book.logs",
    'SELECT * FROM "book"."logs"',
    "SELECT * FROM main.logs",
    "SELECT * FROM temp.main.logs",
    "SELECT (SELECT max(message) FROM book.logs)",
    "SELECT 1 WHERE EXISTS (FROM book.logs)",
    "WITH logs AS (FROM book.logs) FROM logs",
    "WITH duckdb_tables AS (SELECT 1) SELECT * FROM (SELECT 1), duckdb_tables",
    "SELECT * FROM (WITH duckdb_views AS (SELECT 1) SELECT 1), duckdb_views",
    'WITH "a b" AS (SELECT 1) SELECT * FROM "a b"',
    "SELECT * FROM information_schema.tables",
    "SELECT * FROM pg_catalog.pg_tables",
    "SELECT * FROM pg_tables",
    "SELECT * FROM sqlite_master",
    "SELECT * FROM duckdb_tables",
    "SELECT * FROM duckdb_tables()",
    "SELECT * FROM duckdb_columns()",
    "SELECT * FROM duckdb_settings()",
    "SELECT * FROM pragma_storage_info('book.logs')",
    "SELECT * FROM pragma_table_info('book.logs')",
    "SELECT * FROM query('SELECT * FROM book.logs')",
    "SELECT * FROM query_table('book.logs')",
    "SELECT * FROM seq_scan('book.logs')",
    "SELECT stats(message) FROM logs LIMIT 1",
    "SELECT system.main.stats(message) FROM logs LIMIT 1",
    "FROM json_execute_serialized_sql(json_serialize_sql('FROM book.logs'))",
    "SELECT json_serialize_plan('FROM book.logs')",
    "SELECT current_setting('temp_directory')",
    "SELECT getvariable('x')",
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM '/etc/*.csv'",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_blob('/etc/passwd')",
    "SELECT * FROM glob('/*')",
    "SELECT * FROM read_parquet('x.parquet')",
    "SELECT * FROM summary((FROM book.logs))",
    "COPY (SELECT 1) TO '/tmp/x'",
    "COPY logs FROM '/etc/passwd'",
    "ATTACH '/tmp/x.db'",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SET memory_limit = '1TB'",
    "RESET ALL",
    "PRAGMA database_list",
    "PRAGMA show_tables",
    "CALL pragma_version()",
    "EXPLAIN SELECT * FROM logs",
    "EXPLAIN ANALYZE SELECT * FROM logs",
    "SHOW TABLES",
    "SHOW ALL TABLES",
    "SHOW DATABASES",
    "DESCRIBE book.logs",
    "SUMMARIZE book.logs",
    "CREATE TABLE x (a INT)",
    "CREATE OR REPLACE TEMP VIEW logs AS FROM book.logs",
    "INSERT INTO book.logs SELECT * FROM book.logs",
    "UPDATE book.logs SET message = ''",
    "DELETE FROM book.logs",
    "DROP TABLE book.logs",
    "DROP VIEW logs",
    "USE book",
    "BEGIN",
    "CHECKPOINT",
    "PREPARE p AS FROM book.logs",
    "EXECUTE p",
    "VACUUM",
    "EXPORT DATABASE '/tmp/x'",
    "SELECT 1; SELECT * FROM book.logs",
    "SELECT * FROM logs AT (VERSION => 1)",
    "SELECT error(message) FROM logs",
    "SELECT sleep_ms(10000)",
    "SELECT write_log('x')",
    "SELECT nextval('s')",
    "SELECT repeat('x', 1000000000)",
    "SELECT range(1000000000)",
    "SELECT len(generate_series(1, 1000000000))",
    "",
    ";",
    "selec",
    "SELECT * FROM nothing",
    "SELECT '\ud800'",
    "SELECT \x00 1",
]  # fmt: skip


@pytest.mark.parametrize("text", ESCAPES)
async def test_an_escape_is_refused(run: Run, text: str) -> None:
    with pytest.raises(Refusal) as caught:
        await run(text)
    assert caught.value.kind in {"invalid", "too_large"}
    assert SECRET not in caught.value.detail


@pytest.mark.parametrize(
    "table",
    ["runs", "facts", "logs", "metrics", "emitted", "steps", "artifacts", "progress", "records", "files", "models"],
)
async def test_a_query_sees_its_own_workspace_only(run: Run, table: str) -> None:
    theirs = (await run(f"SELECT * FROM {table}", workspace="theirs")).payload
    mine = (await run(f"SELECT * FROM {table}")).payload
    assert SECRET.encode() not in mine
    assert await rows(run, f"SELECT count(*) FROM {table}", workspace="nobody") == [[0]]
    if table in {"runs", "facts", "logs", "metrics", "emitted"}:
        assert b"theirs" in theirs
        assert b"mine" in mine


LEAKS = [
    "SELECT count(*) FROM logs WHERE CAST(message AS INT) > 0",
    "SELECT count(*) FROM logs WHERE CAST(message AS INT) > 0 AND workspace <> 'theirs'",
    "SELECT count(*) FROM logs WHERE workspace = 'theirs' OR CAST(message AS INT) > 0",
    "SELECT count(*) FROM logs AS a JOIN logs AS b ON CAST(a.message AS INT) = CAST(b.message AS INT)",
    "SELECT sum(CAST(message AS INT)) FROM logs",
    "SELECT count(*) FROM runs WHERE CAST(title AS INT) = 41 ORDER BY 1",
    "SELECT max(CAST(message AS INT)) OVER () FROM logs LIMIT 1",
    "SELECT count(*) FROM (SELECT CAST(message AS INT) AS n FROM logs) WHERE n > 40",
]


@pytest.mark.parametrize("text", LEAKS)
async def test_conditions_are_never_evaluated_on_rows_of_others(run: Run, text: str) -> None:
    """Their text is no number: a cast that met it would fail."""
    assert await rows(run, text)


async def test_an_error_quotes_no_value(run: Run) -> None:
    with pytest.raises(Invalid) as caught:
        await run("SELECT CAST(message AS INT) FROM logs", workspace="theirs")
    assert caught.value.code == "sql_failed"
    assert SECRET not in caught.value.detail


async def test_ordinary_questions_are_answered(run: Run) -> None:
    assert await rows(run, "SELECT status, count(*) FROM runs GROUP BY ALL") == [["running", 1]]
    assert await rows(run, "WITH r AS (SELECT * FROM logs ORDER BY cursor DESC LIMIT 3) SELECT count(*) FROM r") == [
        [3]
    ]
    assert await rows(run, "FROM range(3)") == [[0], [1], [2]]
    assert await rows(run, "SELECT ? + 1, ?", params=[1, "a'b"]) == [[2, "a'b"]]
    assert await rows(run, "SELECT labels, params FROM runs") == [[{"t": "41"}, {"secret": "41"}]]
    assert await rows(run, "SELECT 170141183460469231731687303715884105727, 1.5, 'inf'::DOUBLE, NULL") == [
        ["170141183460469231731687303715884105727", 1.5, None, None]
    ]
    assert await rows(run, "SELECT TIMESTAMP '2026-01-02 03:04:05', DATE '2026-01-02'") == [
        ["2026-01-02T03:04:05.000000Z", "2026-01-02"]
    ]
    assert (await rows(run, "DESCRIBE logs"))[0][0] == "workspace"
    assert await rows(run, "SELECT row_number() OVER (ORDER BY cursor) FROM logs LIMIT 1") == [[1]]
    assert await rows(run, "SELECT u FROM (SELECT unnest([1, 2]) AS u) ORDER BY u DESC") == [[2], [1]]


async def test_rows_are_capped_and_said_to_be(run: Run) -> None:
    result = msgspec.json.decode((await run("FROM range(100)", max_rows=7)).payload, type=SqlResult)
    assert (len(result.rows), result.truncated) == (7, True)
    exact = msgspec.json.decode((await run("FROM range(7)", max_rows=7)).payload, type=SqlResult)
    assert (len(exact.rows), exact.truncated) == (7, False)


@pytest.mark.parametrize(("max_rows", "timeout_s"), [(0, 1), (10**9, 1), (1, 0), (1, -1), (1, 1e9)])
async def test_limits_are_checked(run: Run, max_rows: int, timeout_s: float) -> None:
    with pytest.raises(Invalid, match="must be"):
        await run("SELECT 1", max_rows=max_rows, timeout_s=timeout_s)


async def test_a_long_query_is_interrupted_and_the_next_one_runs(run: Run) -> None:
    with pytest.raises(TimedOut):
        await run("SELECT count(*) FROM range(100000000000) AS t(a) WHERE a % 7 = 3", timeout_s=0.2)
    assert await rows(run, "SELECT 1") == [[1]]


async def test_a_reply_that_does_not_fit_is_refused(run: Run) -> None:
    with pytest.raises(TooLarge, match="LIMIT"):
        await run("SELECT a, 'some text' FROM range(5000) AS t(a)", room=10_000)
    with pytest.raises(TooLarge, match="bytes"):
        await run("SELECT 1 -- " + "x" * 70_000)


async def test_binary_formats_hold_the_same_rows(run: Run) -> None:
    text = "SELECT a, 'x' || a AS b FROM range(3) AS t(a)"
    arrow, parquet, csv = [await run(text, format=f) for f in ("arrow", "parquet", "csv")]
    expected = {"a": [0, 1, 2], "b": ["x0", "x1", "x2"]}
    assert pa.ipc.open_stream(arrow.payload).read_all().to_pydict() == expected
    assert pq.read_table(io.BytesIO(parquet.payload)).to_pydict() == expected
    assert csv.payload.decode() == "a,b\r\n0,x0\r\n1,x1\r\n2,x2\r\n"
    assert [r.media_type for r in (arrow, parquet, csv)] == [
        "application/vnd.apache.arrow.stream", "application/vnd.apache.parquet", "text/csv; charset=utf-8",
    ]  # fmt: skip

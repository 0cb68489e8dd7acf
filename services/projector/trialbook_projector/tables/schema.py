"""The tables of the projector and what SQL users see of them.

Base tables live in the schema ``book``; users of SQL see only views that are filtered by workspace (``USER_VIEWS``).
Tables derived from facts never depend on signals and the other way round, so a rebuild gives the same rows however the
two streams were interleaved. JSON is stored as text and cast in the views, which spares a second parse on the way in.
"""

from __future__ import annotations

SCHEMA_VERSION = 2
"""Raise it with every change here: a file of another version is rebuilt from the streams at start."""

FACTS = """
CREATE TABLE book.facts (
    sequence BIGINT NOT NULL, workspace VARCHAR NOT NULL, kind VARCHAR NOT NULL, aggregate VARCHAR NOT NULL,
    type VARCHAR NOT NULL, id VARCHAR NOT NULL, time TIMESTAMP NOT NULL, actor VARCHAR NOT NULL,
    correlation VARCHAR NOT NULL, causation VARCHAR NOT NULL, source VARCHAR NOT NULL, traceparent VARCHAR NOT NULL,
    datakey VARCHAR NOT NULL, data VARCHAR NOT NULL)
"""
# `created` is the sequence of the run's first fact: unique, ascending in insertion order and so the key of the row.
RUNS = """
CREATE TABLE book.runs (
    created BIGINT NOT NULL, workspace VARCHAR NOT NULL, id VARCHAR NOT NULL, name VARCHAR, title VARCHAR NOT NULL,
    workload VARCHAR NOT NULL, dialect VARCHAR NOT NULL, parent VARCHAR, pool VARCHAR NOT NULL,
    priority VARCHAR NOT NULL, labels MAP(VARCHAR, VARCHAR), created_at TIMESTAMP NOT NULL, status VARCHAR NOT NULL,
    attempt INTEGER NOT NULL, runner VARCHAR, queued_at TIMESTAMP, started_at TIMESTAMP, finished_at TIMESTAMP,
    deleted BOOLEAN NOT NULL, terminal BOOLEAN NOT NULL, signal_sequence BIGINT NOT NULL, sequence BIGINT NOT NULL,
    state VARCHAR NOT NULL)
"""
ITEMS = """
CREATE TABLE book.items (
    created BIGINT NOT NULL, kind VARCHAR NOT NULL, workspace VARCHAR NOT NULL, id VARCHAR NOT NULL,
    name VARCHAR NOT NULL, created_at TIMESTAMP NOT NULL, deleted BOOLEAN NOT NULL, sequence BIGINT NOT NULL,
    data VARCHAR NOT NULL)
"""
LOGS = """
CREATE TABLE book.logs (
    workspace VARCHAR NOT NULL, run VARCHAR NOT NULL, cursor BIGINT NOT NULL, time TIMESTAMP NOT NULL,
    level VARCHAR NOT NULL, message VARCHAR, logger VARCHAR, step VARCHAR, attempt INTEGER NOT NULL, data VARCHAR)
"""
METRICS = """
CREATE TABLE book.metrics (
    workspace VARCHAR NOT NULL, run VARCHAR NOT NULL, cursor BIGINT NOT NULL, time TIMESTAMP NOT NULL,
    name VARCHAR NOT NULL, value DOUBLE, index BIGINT NOT NULL, unit VARCHAR NOT NULL, step VARCHAR,
    attempt INTEGER NOT NULL)
"""
RECORDS = """
CREATE TABLE book.records (
    workspace VARCHAR NOT NULL, run VARCHAR NOT NULL, cursor BIGINT NOT NULL, time TIMESTAMP NOT NULL,
    kind VARCHAR NOT NULL, index BIGINT NOT NULL, id VARCHAR NOT NULL, attempt INTEGER NOT NULL, data VARCHAR NOT NULL)
"""
# One row per run, attempt, kind of signal and (for records) table name. `first_cursor` is the key of the row.
EMITTED = """
CREATE TABLE book.emitted (
    first_cursor BIGINT NOT NULL, workspace VARCHAR NOT NULL, run VARCHAR NOT NULL, attempt INTEGER NOT NULL,
    kind VARCHAR NOT NULL, name VARCHAR NOT NULL, count BIGINT NOT NULL, last_cursor BIGINT NOT NULL,
    first_time TIMESTAMP NOT NULL, last_time TIMESTAMP NOT NULL, latest VARCHAR)
"""
PARKED = """
CREATE TABLE book.parked (
    stream VARCHAR NOT NULL, sequence BIGINT NOT NULL, subject VARCHAR NOT NULL, reason VARCHAR NOT NULL,
    stored_at TIMESTAMP NOT NULL, data BLOB NOT NULL)
"""
POSITIONS = "CREATE TABLE book.positions (stream VARCHAR NOT NULL, position BIGINT NOT NULL)"
META = "CREATE TABLE book.meta (schema_version INTEGER NOT NULL)"

DDL = (
    "CREATE SCHEMA book", FACTS, RUNS, ITEMS, LOGS, METRICS, RECORDS, EMITTED, PARKED, POSITIONS, META,
    "INSERT INTO book.positions VALUES ('FACTS', 0), ('SIGNALS', 0)",
)  # fmt: skip

HASHED = ("facts", "runs", "items", "logs", "metrics", "records", "emitted", "parked")
"""The tables whose contents a rebuild must reproduce."""
SIGNAL_TABLES = {"logs": "cursor", "metrics": "cursor", "records": "cursor", "emitted": "last_cursor"}
"""Tables derived from SIGNALS and the column that orders them."""

_STEPS = """
SELECT r.id AS run, s.key AS step, json_extract_string(s.value, '$.status') AS status,
    CAST(coalesce(json_extract(s.value, '$.attempt'), '0') AS INTEGER) AS attempt,
    TRY_CAST(json_extract_string(s.value, '$.started_at') AS TIMESTAMP) AS started_at,
    TRY_CAST(json_extract_string(s.value, '$.finished_at') AS TIMESTAMP) AS finished_at,
    json_extract(s.value, '$.result') AS result, json_extract(s.value, '$.error') AS error
FROM book.runs AS r, json_each(r.state, '$.steps') AS s WHERE {scope} AND NOT r.deleted
"""
_ARTIFACTS = """
SELECT r.id AS run, a.key AS name, json_extract_string(a.value, '$.sha256') AS sha256,
    CAST(json_extract(a.value, '$.size') AS BIGINT) AS size, json_extract_string(a.value, '$.media_type') AS media_type,
    CAST(json_extract(a.value, '$.attempt') AS INTEGER) AS attempt,
    TRY_CAST(json_extract_string(a.value, '$.created_at') AS TIMESTAMP) AS created_at
FROM book.runs AS r, json_each(r.state, '$.artifacts') AS a WHERE {scope} AND NOT r.deleted
"""
_RUNS = """
SELECT r.id, r.workspace, r.name, r.title, r.workload, r.dialect, r.status, r.parent, r.pool, r.priority, r.labels,
    r.attempt, r.runner, r.created_at, r.queued_at, r.started_at, r.finished_at, r.sequence,
    json_extract(r.state, '$.spec.params') AS params, json_extract(r.state, '$.result') AS result,
    json_extract(r.state, '$.error') AS error
FROM book.runs AS r WHERE {scope} AND NOT r.deleted
"""
_SIGNAL = "SELECT r.* EXCLUDE (data), CAST(r.data AS JSON) AS data FROM book.{table} AS r WHERE {{scope}}"
_ITEM = """
SELECT r.id, r.workspace, r.name, r.created_at, r.sequence, CAST(r.data AS JSON) AS data
FROM book.items AS r WHERE {{scope}} AND NOT r.deleted AND r.kind = '{kind}'
"""

USER_VIEWS: dict[str, str] = {
    "facts": "SELECT r.* EXCLUDE (data), CAST(r.data AS JSON) AS data FROM book.facts AS r WHERE {scope}",
    "runs": _RUNS,
    "steps": _STEPS,
    "artifacts": _ARTIFACTS,
    "logs": _SIGNAL.format(table="logs"),
    "metrics": "SELECT r.* FROM book.metrics AS r WHERE {scope}",
    "records": _SIGNAL.format(table="records"),
    "progress": "SELECT r.workspace, r.run, r.attempt, r.last_time AS time, CAST(r.latest AS JSON) AS progress "
    "FROM book.emitted AS r WHERE {scope} AND r.kind = 'progress'",
    "emitted": "SELECT r.* EXCLUDE (latest) FROM book.emitted AS r WHERE {scope}",
    "workspaces": _ITEM.format(kind="workspace"),
    "files": _ITEM.format(kind="file"),
    "datasets": _ITEM.format(kind="dataset"),
    "models": _ITEM.format(kind="model"),
}
"""Name -> query; ``{scope}`` stands for the condition on ``r.workspace``."""

"""A run's history as an SQLite file, verified before it is offered, and read back (facts, section 13)."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from trialbook.errors import Invalid
from trialbook_marketplace.rows import History, Row

_SCHEMA = """
CREATE TABLE agents (id TEXT PRIMARY KEY, created_at TEXT NOT NULL, data TEXT NOT NULL, agent_embedding BLOB);
CREATE TABLE actions(id TEXT PRIMARY KEY, created_at TEXT NOT NULL, data TEXT NOT NULL);
CREATE TABLE logs   (id TEXT PRIMARY KEY, created_at TEXT NOT NULL, data TEXT NOT NULL);
"""
_INSERT = {
    "agents": "INSERT INTO agents (rowid, id, created_at, data, agent_embedding) VALUES (?, ?, ?, ?, ?)",
    "actions": "INSERT INTO actions (rowid, id, created_at, data) VALUES (?, ?, ?, ?)",
    "logs": "INSERT INTO logs (rowid, id, created_at, data) VALUES (?, ?, ?, ?)",
}
_SELECT = {
    "agents": "SELECT rowid, id, created_at, data, agent_embedding FROM agents ORDER BY rowid",
    "actions": "SELECT rowid, id, created_at, data FROM actions ORDER BY rowid",
    "logs": "SELECT rowid, id, created_at, data FROM logs ORDER BY rowid",
}
_REFUSED = re.compile("[\0\ud800-\udfff]")  # NUL and lone surrogates, which other databases refuse
_FILENAME = re.compile(r"[^/\\\0]{1,200}")


class ExportFailed(Exception):
    """The file does not hold what was written to it; it has been removed."""


def export_filename(given: str | None, experiment_name: str) -> str:
    """The name of the export file; raises ``Invalid`` (``invalid_export_filename``) unless it is a plain one."""
    name = given or f"{experiment_name}.db"
    if not _FILENAME.fullmatch(name) or name in {".", ".."} or not name.isprintable():
        raise Invalid("invalid_export_filename", f"export_filename must be a plain file name, not {name!r}")
    return name


def export_sqlite(path: Path, history: History) -> dict[str, int]:
    """Write ``history`` to ``path`` (replaced if it exists) and verify it; returns the row counts per table.

    Raises ``ExportFailed`` when the file read back differs. The file appears under its name only when verified.
    """
    partial = path.with_name(path.name + ".partial")
    partial.unlink(missing_ok=True)
    tables = {"agents": history.agents, "actions": history.actions, "logs": history.logs}
    try:
        with closing(sqlite3.connect(partial)) as database:
            database.executescript(_SCHEMA)
            with database:
                for table, rows in tables.items():
                    database.executemany(_INSERT[table], _values(table, rows))
            for table, rows in tables.items():
                _verify(database, table, rows)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return {table: len(rows) for table, rows in tables.items()}


def read_sqlite(path: Path) -> History:
    """The history in an exported file; raises ``sqlite3.Error`` or ``msgspec.DecodeError`` for another file."""
    with closing(sqlite3.connect(path.resolve().as_uri() + "?mode=ro", uri=True)) as database:
        return History(*([_row(values) for values in database.execute(_SELECT[table])] for table in _SELECT))


def _values(table: str, rows: Iterable[Row]) -> Iterator[tuple[Any, ...]]:
    for row in rows:
        values = (row["index"], _clean(row["id"]), _offset(row["created_at"]), _json(row["data"]))
        yield (*values, row.get("embedding")) if table == "agents" else values


def _verify(database: sqlite3.Connection, table: str, rows: list[Row]) -> None:
    stored = database.execute(_SELECT[table])
    count = 0
    for count, (found, expected) in enumerate(zip(stored, _values(table, rows), strict=False), start=1):
        if tuple(found) != expected or found[0] != count:
            raise ExportFailed(f"row {count} of table {table} differs after writing")
    if count != len(rows) or stored.fetchone() is not None:
        raise ExportFailed(f"table {table} holds another number of rows than the {len(rows)} written")


def _row(values: tuple[Any, ...]) -> Row:
    index, ident, created_at, data, *embedding = values
    row = {"index": index, "id": ident, "created_at": _zulu(created_at), "data": msgspec.json.decode(data)}
    return row | {"embedding": embedding[0]} if embedding and embedding[0] is not None else row


def _json(data: Any) -> str:
    try:
        encoded = msgspec.json.encode(data)
    except UnicodeEncodeError:
        encoded = msgspec.json.encode(_clean(data))
    if b"\\u0000" in encoded:
        encoded = msgspec.json.encode(_clean(data))
    return encoded.decode()


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return _REFUSED.sub("", value)
    if isinstance(value, dict):
        return {_clean(key): _clean(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(entry) for entry in value]
    return value


def _offset(moment: str) -> str:
    return moment[:-1] + "+00:00" if moment.endswith("Z") else moment


def _zulu(moment: str) -> str:
    return moment[:-6] + "Z" if moment.endswith("+00:00") else moment

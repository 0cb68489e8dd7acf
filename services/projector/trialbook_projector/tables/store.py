"""The DuckDB file of a projector: opening, positions, cursors, and which of several files is the current one.

A rebuild writes a new file beside the live one; a small file ``CURRENT`` names the one that counts, and is replaced
atomically. Without ``CURRENT`` it is ``trialbook.duckdb``.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import duckdb
import msgspec

from trialbook_projector.tables import schema

log = logging.getLogger(__name__)
FIRST = "trialbook.duckdb"
CURRENT = "CURRENT"


class Positions(msgspec.Struct, frozen=True):
    """How far the tables have come: the last sequence applied of either stream."""

    facts: int
    signals: int


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What DuckDB may use."""

    memory_mb: int = 512
    threads: int = 2
    spill_gb: int = 4


class Store:
    """An open file. One thread writes through ``writer``; every other thread takes its own ``cursor``."""

    def __init__(self, path: Path, limits: Limits) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        config: dict[str, str | bool | int | float | list[str]] = {
            "threads": str(limits.threads),
            "memory_limit": f"{limits.memory_mb}MB",
            "temp_directory": str(path.with_suffix(".spill")),
            "max_temp_directory_size": f"{limits.spill_gb}GB",
            "checkpoint_threshold": "256MB",
            "python_enable_replacements": "false",
            "autoload_known_extensions": "false",
            "autoinstall_known_extensions": "false",
            "allow_community_extensions": "false",
        }
        self.writer: Any = duckdb.connect(str(path), config=config)
        # Last, because nothing can be set any more: no file, no network, no extension, whatever a query says.
        self.writer.execute("SET enable_external_access = false")
        self.writer.execute("SET lock_configuration = true")

    def version(self) -> int | None:
        """The schema version of the tables; None for a new file."""
        found = self.writer.execute("SELECT 1 FROM duckdb_tables() WHERE schema_name = 'book' AND table_name = 'meta'")
        if found.fetchone() is None:
            return None
        row = self.writer.execute("SELECT schema_version FROM book.meta").fetchone()
        return int(row[0]) if row else None

    def create(self) -> None:
        """Create the tables in a new file."""
        self.writer.begin()
        for statement in schema.DDL:
            self.writer.execute(statement)
        self.writer.execute("INSERT INTO book.meta VALUES (?)", [schema.SCHEMA_VERSION])
        self.writer.commit()

    def cursor(self) -> Any:
        """A connection of the calling thread's own."""
        return self.writer.cursor()

    def positions(self, cursor: Any = None) -> Positions:
        """The positions as they stand in the file."""
        rows = dict((cursor or self.writer).execute("SELECT stream, position FROM book.positions").fetchall())
        return Positions(rows["FACTS"], rows["SIGNALS"])

    def size_bytes(self) -> int:
        """Bytes on disk, the write-ahead log included."""
        log = self.path.with_name(self.path.name + ".wal")
        return sum(p.stat().st_size for p in (self.path, log) if p.exists())

    def close(self, *, checkpoint: bool = True) -> None:
        """Fold the write-ahead log into the file and close it; readers' cursors must be closed before."""
        if checkpoint:
            self.writer.execute("FORCE CHECKPOINT")
        self.writer.close()


def current_path(folder: Path) -> Path:
    """The file that counts."""
    pointer = folder / CURRENT
    return folder / (pointer.read_text().strip() if pointer.exists() else FIRST)


def next_path(folder: Path) -> Path:
    """A free name beside the current file and those that are kept, for a rebuild."""
    number = 1
    while (path := folder / f"trialbook.{number}.duckdb") == current_path(folder) or path.exists():
        number += 1
    remove(path)
    return path


def make_current(path: Path) -> None:
    """Let ``path`` be the file that counts; durable and atomic."""
    pointer = path.parent / CURRENT
    fresh = pointer.with_suffix(".new")
    with fresh.open("w") as file:
        file.write(path.name)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(pointer)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def remove(path: Path) -> None:
    """Delete a database file and what belongs to it."""
    for part in (path, path.with_name(path.name + ".wal")):
        part.unlink(missing_ok=True)


def usable_path(folder: Path, limits: Limits) -> Path:
    """The current file, or a new one in its place when its tables are of another schema version.

    A new file is empty: the pump fills it from the streams, which is the rebuild that a changed schema needs.
    """
    path = current_path(folder)
    if not path.exists():
        return path
    store = Store(path, limits)
    version = store.version()
    store.close(checkpoint=False)
    if version in (None, schema.SCHEMA_VERSION):
        return path
    fresh = next_path(folder)
    log.warning("schema version %s is not %d: building the tables anew", version, schema.SCHEMA_VERSION)
    make_current(fresh)
    remove(path)
    return fresh


def open_store(path: Path, limits: Limits) -> Store:
    """Open a file, creating the tables when it is new."""
    store = Store(path, limits)
    if store.version() is None:
        store.create()
    return store

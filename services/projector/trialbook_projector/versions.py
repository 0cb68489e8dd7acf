"""The database files that a projector keeps beside the current one: the one before it, and candidates.

A file of these has a description beside it, written when the file was complete and closed; a file without one is what
is left of a build that was broken off, and is removed. What personal data a kept file holds would survive an erasure,
so an erasure removes kept files.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import msgspec

from trialbook.errors import Conflict, NotFound
from trialbook_projector.tables import schema
from trialbook_projector.tables.store import Positions, current_path, remove

Kind = Literal["current", "previous", "candidate"]
PATTERN = "trialbook*.duckdb"
SUFFIX = ".version.json"


class Description(msgspec.Struct, frozen=True, kw_only=True):
    """What stands beside a kept file; ``kept_at`` is when it was put aside or finished (RFC 3339 UTC)."""

    kind: Kind
    schema_version: int
    facts: int
    signals: int
    kept_at: str


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """One file as it is listed; size in bytes."""

    file: str
    kind: Kind
    schema_version: int
    facts: int
    signals: int
    bytes: int
    kept_at: str | None


def describe(path: Path, kind: Kind, positions: Positions, kept_at: str) -> None:
    """Say that a closed file is complete; durable."""
    found = Description(
        kind=kind, schema_version=schema.SCHEMA_VERSION, facts=positions.facts, signals=positions.signals,
        kept_at=kept_at,
    )  # fmt: skip
    fresh = _beside(path).with_suffix(".new")
    with fresh.open("wb") as file:
        file.write(msgspec.json.encode(found))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(_beside(path))


def forget(path: Path) -> None:
    """Take the description away, because the file is about to be written to."""
    _beside(path).unlink(missing_ok=True)


def discard(path: Path) -> None:
    """Delete a file with everything that belongs to it."""
    forget(path)
    remove(path)


def kept(folder: Path) -> list[Version]:
    """The files that are kept, newest first."""
    current = current_path(folder)
    described = [(path, _read(path)) for path in folder.glob(PATTERN) if path != current]
    found = [
        Version(
            file=path.name, kind=one.kind, schema_version=one.schema_version, facts=one.facts, signals=one.signals,
            bytes=path.stat().st_size, kept_at=one.kept_at,
        )
        for path, one in described if one is not None
    ]  # fmt: skip
    return sorted(found, key=lambda version: version.kept_at or "", reverse=True)


def chosen(folder: Path, name: str) -> Path:
    """The kept file that is meant: its name or number, or with an empty name the newest previous one.

    Raises ``NotFound`` (``version_not_found``), or ``Conflict`` (``version_of_another_schema``).
    """
    versions = kept(folder)
    wanted = [v for v in versions if (v.kind == "previous" if not name else name in (v.file, v.file.split(".")[1]))]
    if not wanted:
        known = ", ".join(v.file for v in versions) or "none"
        what = f"There is no version {name!r}" if name else "There is nothing to roll back to"
        raise NotFound("version_not_found", f"{what}; kept are: {known}.")
    version = wanted[0]
    if version.schema_version != schema.SCHEMA_VERSION:
        raise Conflict(
            "version_of_another_schema",
            f"{version.file} has tables of schema version {version.schema_version}; this release reads and writes "
            f"{schema.SCHEMA_VERSION}. Run the release that made it, or rebuild.",
        )
    return folder / version.file


def tidy(folder: Path, keep: int) -> None:
    """Remove what builds have left unfinished, and all but the newest ``keep`` of the previous files and candidates.

    Only where no build is running.
    """
    current = current_path(folder)
    for path in folder.glob(PATTERN):
        if path != current and _read(path) is None:
            discard(path)
    versions = kept(folder)
    for kind, most in (("previous", keep), ("candidate", max(1, keep))):
        for version in [v for v in versions if v.kind == kind][most:]:
            discard(folder / version.file)


def discard_older(folder: Path, facts: int) -> list[str]:
    """Delete the kept files that lack the fact at this sequence, an erasure; returns their names."""
    gone = [version for version in kept(folder) if version.facts < facts]
    for version in gone:
        discard(folder / version.file)
    return [version.file for version in gone]


def last_erasure(cursor: Any, types: frozenset[str]) -> int:
    """The sequence of the last erasure that the tables know; 0: there was none."""
    sql = "SELECT coalesce(max(sequence), 0) FROM book.facts WHERE type IN (SELECT unnest(?::VARCHAR[]))"
    return int(cursor.execute(sql, [sorted(types)]).fetchall()[0][0])


def _beside(path: Path) -> Path:
    return path.with_name(path.name + SUFFIX)


def _read(path: Path) -> Description | None:
    try:
        return msgspec.json.decode(_beside(path).read_bytes(), type=Description)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None

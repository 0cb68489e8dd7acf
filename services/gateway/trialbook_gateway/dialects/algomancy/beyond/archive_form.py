"""The form of a session's archive: a ZIP of JSON files.

``manifest.json``            format, display name, counts
``datasets/<n>.csv.zip``     its tables as csv, when asked for; nobody reads them back
``datasets/<n>.json``        a dataset as clients read it; ``versions/<n>.json``: one that only scenarios still use
``scenarios/<n>.json``       a scenario with the file that it works on and all its executions
``loads/<n>.json``           a load with all its messages
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from trialbook_gateway.dialects.algomancy.errors import bad_value
from trialbook_gateway.problems import HttpRefusal

FORMAT = "trialbook-algomancy-session"
VERSION = 1
MEDIA_TYPE = "application/zip"
MANIFEST = "manifest.json"
MAX_FILES = 50_000
PIECE_BYTES = 256 * 1024
MAX_MEMBER_BYTES = 64 * 1024 * 1024
"""Of everything but datasets, which are read in pieces."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What an archive says of itself; ``datasets`` and ``versions`` name files and keys in order."""

    format: str
    version: int
    display_name: str
    exported_at: str
    datasets: dict[str, str]
    versions: dict[str, str]
    loads_of: dict[str, str] = {}
    """File of a dataset -> id of the load it came from."""
    scenarios: int = 0
    loads: int = 0


class Execution(msgspec.Struct, frozen=True, kw_only=True):
    """One execution; ``result`` as clients see it, null while it goes on."""

    status: str
    progress: float = 0.0
    seed: int = 0
    runner: str | None = None
    started_at: str | None = None
    finished_at: str | None = None
    duration_s: float | None = None
    kpis: dict[str, float | int | None] = {}
    result: dict[str, Any] | None = None


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """A scenario: the members that clients see, and what is needed to make it again."""

    id: str
    tag: str
    dataset: str
    """The file in the archive that it works on."""
    dataset_key: str
    algo_name: str
    parameters: str
    data_params: dict[str, Any]
    created_at: str
    status: str
    runs: list[Execution] = []
    labels: dict[str, str] = {}


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """A load, as ``GET etl/{id}`` tells it."""

    id: str
    status: str
    dataset_name: str
    success: bool
    counts: dict[str, int] = {}
    messages: list[dict[str, Any]] = []
    files: list[dict[str, Any]] = []
    error: str | None = None


class Reader:
    """Reads an archive that somebody sent. Everything raises 400 for what is not such an archive, 413 for too much."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        try:
            self._archive = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError, ValueError):
            raise bad_value("This is no ZIP archive.") from None
        infos = self._archive.infolist()
        if len(infos) > MAX_FILES or sum(info.file_size for info in infos) > max_bytes:
            text = f"The archive has more than {MAX_FILES} files, or more than {max_bytes} bytes when it is unpacked."
            raise HttpRefusal(413, "archive_too_large", text)
        self._left = max_bytes
        self._names = {info.filename for info in infos}
        self.manifest = self._one(MANIFEST, Manifest)
        if (self.manifest.format, self.manifest.version) != (FORMAT, VERSION):
            raise bad_value(f"This is no archive of a session of version {VERSION}.")

    def close(self) -> None:
        """Close the file."""
        self._archive.close()

    def scenarios(self) -> Iterator[Scenario]:
        """In the order in which they were created."""
        for number in range(1, self.manifest.scenarios + 1):
            yield self._one(f"scenarios/{number}.json", Scenario)

    def loads(self) -> Iterator[Load]:
        """All of them."""
        for number in range(1, self.manifest.loads + 1):
            yield self._one(f"loads/{number}.json", Load)

    def pieces(self, name: str) -> Iterator[bytes]:
        """The bytes of a file."""
        if name not in self._names:
            raise bad_value(f"The archive has no file '{name}'.")
        try:
            with self._archive.open(name) as file:
                while piece := file.read(PIECE_BYTES):
                    self._left -= len(piece)
                    if self._left < 0:  # a header may lie about its size
                        raise HttpRefusal(413, "archive_too_large", "The archive is larger than it says.")
                    yield piece
        except (zipfile.BadZipFile, RuntimeError, EOFError, OSError, ValueError) as error:
            raise bad_value(f"The file '{name}' of the archive cannot be read: {error}") from None

    def _one(self, name: str, kind: type[Any]) -> Any:
        found = bytearray()
        for piece in self.pieces(name):
            found += piece
            if len(found) > MAX_MEMBER_BYTES:
                raise HttpRefusal(413, "archive_too_large", f"The file '{name}' of the archive is too large.")
        try:
            return msgspec.json.decode(bytes(found), type=kind)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise bad_value(f"The file '{name}' of the archive cannot be read: {error}") from None

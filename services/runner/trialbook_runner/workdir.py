"""Directories of attempts: empty at the start, gone at the end, also those of a runner that was killed."""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from trialbook.errors import Invalid
from trialbook.ports import BlobStore
from trialbook_runner.blobs import fetch_file

MAX_INPUT_NAME = 200


class Place(msgspec.Struct, frozen=True):
    """One attempt's directories."""

    work: Path
    scratch: Path

    async def fetch(self, blobs: BlobStore, inputs: dict[str, str]) -> dict[str, str]:
        """Fetch inputs (name -> sha256) into files (name -> path). Raises ``NotFound`` and ``Invalid``."""
        paths: dict[str, str] = {}
        for name, sha256 in inputs.items():
            if not 0 < len(name) <= MAX_INPUT_NAME or "/" in name or name.startswith(".") or not name.isprintable():
                raise Invalid("invalid_input_name", f"{name[:80]!r} cannot be the name of an input file.")
            path = self.scratch / "inputs" / name
            path.parent.mkdir(exist_ok=True)
            await fetch_file(blobs, sha256, path)
            paths[name] = str(path)
        return paths


class Workdirs:
    """Below ``<data>/work/<runner id>``, locked while the runner lives; a later runner removes what has no owner."""

    def __init__(self, data_dir: Path, runner: str) -> None:
        self._base = data_dir / "work" / runner
        self._base.mkdir(parents=True)
        with (self._base.parent / ".lock").open("w") as everybody:  # one runner at a time comes in and cleans up
            fcntl.flock(everybody, fcntl.LOCK_EX)
            self._lock = os.open(self._base / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            for other in self._base.parent.iterdir():
                if other != self._base and other.is_dir():
                    _remove_if_abandoned(other)

    def close(self) -> None:
        """Remove everything."""
        shutil.rmtree(self._base, ignore_errors=True)
        os.close(self._lock)

    @asynccontextmanager
    async def make(self, run: str, attempt: int) -> AsyncIterator[Place]:
        """Fresh directories for one attempt."""
        base = self._base / f"{run}-{attempt}"
        place = Place(base / "work", base / "scratch")
        place.work.mkdir(parents=True)
        place.scratch.mkdir()
        try:
            yield place
        finally:
            await asyncio.shield(asyncio.to_thread(shutil.rmtree, base, ignore_errors=True))


def _remove_if_abandoned(directory: Path) -> None:
    try:
        handle = os.open(directory / "lock", os.O_RDWR)
    except FileNotFoundError:
        return  # it is being made or removed by its owner
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    else:
        shutil.rmtree(directory, ignore_errors=True)
    finally:
        os.close(handle)

"""Datasets as requests name them: listed, and read into snapshots that runs are given as their input."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from trialbook.ports import BlobStore
from trialbook_gateway.dialects.marketplace.settings import MarketplaceSettings
from trialbook_marketplace.datasets import DatasetInfo, list_datasets, load_dataset, resolve_dataset
from trialbook_marketplace.validator import Report, validate_folder

T = TypeVar("T")
Signature = tuple[tuple[str, int, int, int], ...]


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A validated dataset as JSON; ``digest`` is that of its content, ``signature`` that of its files."""

    name: str
    path: str
    digest: str
    customers: int
    businesses: int
    content: bytes
    signature: Signature


class Datasets:
    """Reads datasets in threads, a few at a time, and remembers those whose files have not changed."""

    def __init__(self, settings: MarketplaceSettings) -> None:
        self._settings = settings
        self._known: OrderedDict[str, Snapshot] = OrderedDict()
        self._slots = asyncio.Semaphore(settings.concurrent_reads)

    async def listing(self) -> list[DatasetInfo]:
        """All roots' datasets by name; of two with one name the one that a request would get."""
        async with self._slots:
            return await asyncio.to_thread(self._list)

    async def snapshot(self, spec: str) -> Snapshot:
        """The dataset as it is now. Raises ``NotFound`` and ``Invalid`` with the documented texts."""
        async with self._slots:
            found = await asyncio.to_thread(self._read, spec)
        self._known[found.path] = found
        self._known.move_to_end(found.path)
        while len(self._known) > self._settings.cached_datasets:
            self._known.popitem(last=False)
        return found

    async def validated(self, spec: str) -> Report:
        """The validator's findings. Raises ``NotFound`` and ``Invalid`` with the documented texts."""
        async with self._slots:
            return await asyncio.to_thread(lambda: validate_folder(resolve_dataset(spec, self._settings.dataset_roots)))

    async def apart(self, work: Callable[[], T]) -> T:
        """Heavy work in a thread, a few at a time."""
        async with self._slots:
            return await asyncio.to_thread(work)

    def _list(self) -> list[DatasetInfo]:
        found: dict[str, DatasetInfo] = {}
        for root in self._settings.dataset_roots:
            for info in list_datasets(root):
                found.setdefault(info.name, info)
        return sorted(found.values(), key=lambda info: info.name)

    def _read(self, spec: str) -> Snapshot:
        path = resolve_dataset(spec, self._settings.dataset_roots)
        signature = _signature(path)
        known = self._known.get(str(path))
        if known is not None and signature and known.signature == signature:
            return known
        dataset = load_dataset(path)
        snapshot = dataset.snapshot()
        return Snapshot(
            name=dataset.name, path=str(path), digest=snapshot["digest"], customers=len(dataset.customers),
            businesses=len(dataset.businesses), content=msgspec.json.encode(snapshot), signature=signature,
        )  # fmt: skip


async def store(snapshot: Snapshot, blobs: BlobStore) -> str:
    """Put a snapshot into the blob store, unless it is there; returns its sha256."""
    return await store_bytes(snapshot.content, blobs)


async def store_bytes(content: bytes, blobs: BlobStore) -> str:
    """Put bytes into the blob store, unless they are there; returns their sha256."""
    sha256 = hashlib.sha256(content).hexdigest()
    if await blobs.stat(sha256) is not None:
        return sha256

    async def chunks() -> AsyncIterator[bytes]:
        yield content

    return (await blobs.put(chunks())).sha256


def _signature(path: Path) -> Signature:
    """Names, times, sizes and inodes of the files: changed files are read again."""
    try:
        entries = sorted(file for folder in ("businesses", "customers") for file in (path / folder).iterdir())
        stats = [(str(file), file.stat()) for file in entries]
    except OSError:
        # Missing or unreadable: the loader finds it again and says what is wrong; the empty signature matches nothing.
        return ()
    return tuple((name, found.st_mtime_ns, found.st_size, found.st_ino) for name, found in stats)

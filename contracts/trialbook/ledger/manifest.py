"""What a set of segments is: which streams, from where to where, with the digest of every file."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from typing import Literal

import msgspec

from trialbook.errors import Invalid
from trialbook.ledger.segments import Damaged, Segment, messages_of
from trialbook.ledger.storage import SegmentStorage
from trialbook.log.tail import Message

FORMAT = 1
EXPORT = "manifest.json"
NOTE = "manifest.note"


class Part(msgspec.Struct, kw_only=True):
    """One stream: everything from ``first`` to ``last`` that was there, as far as the filters let it through."""

    first: int
    last: int
    segments: list[Segment] = []
    reached: int = 0
    """While it is written: everything up to here has been."""


class StoredBlob(msgspec.Struct, frozen=True, kw_only=True):
    """A blob in the file ``blobs/<sha256>``; size in bytes."""

    sha256: str
    size: int


class Manifest(msgspec.Struct, kw_only=True):
    """``kind``: an export, or what was sealed. ``origin`` names the ledger (that of its checkpoints).

    ``workspace`` not empty: only this workspace's messages are in it, so it proves itself but is no ledger.
    """

    format: int = FORMAT
    kind: Literal["export", "seal"]
    origin: str
    created_at: str
    complete: bool = False
    workspace: str = ""
    formats: list[str] = []
    without: list[str] = []
    """What was left out: signals, blobs."""
    streams: dict[str, Part] = {}
    blobs: list[StoredBlob] = []
    files: dict[str, str] = {}
    """Other files and their sha256."""
    note: str = ""
    """The file with the signature of this manifest; empty: it is not signed."""


def encode(manifest: Manifest) -> bytes:
    """As a file for people, too."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"


def decode(content: bytes, name: str = EXPORT) -> Manifest:
    """Raises ``Damaged`` for what is no manifest and ``Invalid`` (``unknown_format``) for one of a later release."""
    try:
        manifest = msgspec.json.decode(content, type=Manifest)
    except (ValueError, RecursionError) as error:
        raise Damaged(f"{name} cannot be read: {error}") from error
    if manifest.format != FORMAT:
        raise Invalid(
            "unknown_format", f"{name} has format {manifest.format}; this release reads {FORMAT}. Use a newer one."
        )
    return manifest


def sealed_name(last: int) -> str:
    """Where the manifest of what is sealed up to ``last`` is: every boundary has its own, none is overwritten."""
    return f"sealed/manifest-{last:020d}.json"


def segment_name(folder: str, first: int, last: int) -> str:
    """``<folder>/<first>-<last>.ndjson.gz``, sorted by name as by sequence."""
    return f"{folder}/{first:020d}-{last:020d}.ndjson.gz"


def blob_name(sha256: str) -> str:
    """Where the bytes of a blob are."""
    return f"blobs/{sha256}"


def leaves_name(segment: Segment) -> str:
    """The leaf hashes of a segment of facts, by which an audit names what was changed."""
    return segment.name.removesuffix(".ndjson.gz") + ".leaves"


def listed(manifest: Manifest) -> dict[str, str]:
    """Every file beside the manifest and its note, with its sha256; facts first."""
    found: dict[str, str] = {}
    for part in manifest.streams.values():
        for segment in part.segments:
            found[segment.name] = segment.sha256
            if segment.parquet:
                found[segment.parquet] = segment.parquet_sha256
    found.update(manifest.files)
    found.update((blob_name(blob.sha256), blob.sha256) for blob in manifest.blobs)
    return found


def strangers(manifest: Manifest, names: Sequence[str]) -> list[str]:
    """Those of the names that are no file of this export."""
    known = listed(manifest)
    return [name for name in names if name not in known and name not in (EXPORT, manifest.note)]


async def read_part(storage: SegmentStorage, manifest: Manifest, stream: str) -> AsyncIterator[list[Message]]:
    """The messages of one stream, segment by segment, each compared with its record. Raises ``Damaged``."""
    part = manifest.streams.get(stream)
    position = 0
    for segment in part.segments if part else ():
        if segment.first <= position:
            raise Damaged(f"segment {segment.name} does not come after sequence {position}")
        position = segment.last
        yield await asyncio.to_thread(messages_of, segment, await storage.get(segment.name))


async def load_sealed(storage: SegmentStorage, last: int, sha256: str) -> Manifest:
    """The manifest of a boundary. Raises ``Damaged`` unless it is the one that was recorded."""
    name = sealed_name(last)
    content = await storage.get(name)
    if (digest := hashlib.sha256(content).hexdigest()) != sha256:
        raise Damaged(f"{name} has the sha256 {digest}; the ledger recorded {sha256}")
    return decode(content, name)

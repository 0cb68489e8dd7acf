"""Bring an export into an empty installation: an equal ledger, with equal sequences, subjects, payloads and ids.

Everything is compared with its digest before anything is written. What was begun and interrupted goes on when the same
export is imported again; at the end the streams are read and compared with the files.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from itertools import zip_longest

from nats.aio.client import Client

from trialbook import subjects
from trialbook.audit.signer import PublicKey, origin_of
from trialbook.audit.verify import history
from trialbook.blobs.nats import NatsBlobStore
from trialbook.errors import Conflict, Invalid
from trialbook.ledger import keys
from trialbook.ledger.ahead import ahead
from trialbook.ledger.appending import Appender
from trialbook.ledger.manifest import EXPORT, Manifest, Part, blob_name, decode, read_part, strangers
from trialbook.ledger.segments import Damaged
from trialbook.ledger.signing import signature
from trialbook.ledger.storage import SegmentStorage
from trialbook.log.api import call
from trialbook.log.bulk import read_stream
from trialbook.log.purging import record
from trialbook.log.setup import ensure_streams
from trialbook.log.tail import Message
from trialbook.log.waiting import STARTS, Waiting
from trialbook.streams import BLOBS, CHECKPOINTS, FACTS, SIGNALS

RUNNING, DONE = "trialbook.importing", "trialbook.imported"
SUBJECTS = {FACTS: subjects.FACTS_ALL, SIGNALS: subjects.SIGNALS_ALL, CHECKPOINTS: subjects.CHECKPOINTS_ALL}
CHUNK_BYTES = 4 * 1024 * 1024
Tell = Callable[[str, int, int], None]


async def checked(
    source: SegmentStorage, tell: Tell = lambda _what, _done, _all: None, keys: Sequence[PublicKey] = ()
) -> Manifest:
    """The manifest of an export that can be imported, after reading all of it.

    With ``keys``, those of the log, the manifest must be signed and name every file that is there. Raises ``Damaged``
    for bytes that are not those of the manifest, ``Invalid`` (``not_importable``) for an extract and for an export that
    was not finished, (``manifest_not_signed``) where a signature is wanted, ``NotFound`` for missing files.
    """
    content = await source.get(EXPORT)
    manifest = decode(content)
    _whole(manifest)
    if keys:
        await _signed(source, manifest, content, keys)
    files = [s for part in manifest.streams.values() for s in part.segments]
    done = 0
    for stream, part in manifest.streams.items():
        position = part.first - 1
        async for batch in read_part(source, manifest, stream):
            if stream != SIGNALS and len(batch) != batch[-1].sequence - position:
                raise Damaged(f"{stream} has a gap after {position}")
            position = batch[-1].sequence
            done += 1
            tell("verify", done, len(files))
        if stream != SIGNALS and position != part.last:
            raise Damaged(f"{stream} ends at {position}, not at {part.last}")
    for segment in files:
        if segment.parquet:
            await _same(source, segment.parquet, segment.parquet_sha256)
    for name, digest in manifest.files.items():
        await _same(source, name, digest)
    for number, blob in enumerate(manifest.blobs, 1):
        await _same(source, blob_name(blob.sha256), blob.sha256)
        tell("verify blobs", number, len(manifest.blobs))
    return manifest


async def _signed(source: SegmentStorage, manifest: Manifest, content: bytes, keys: Sequence[PublicKey]) -> None:
    """Hold the manifest against the keys, and those that notes in the export name as theirs from then on."""
    notes = [message.data async for batch in read_part(source, manifest, CHECKPOINTS) for message in batch]
    if await signature(source, manifest, content, history(notes, keys, origin_of(keys)).keys) is None:
        text = "The manifest of this export is not signed: only `trialbook audit verify` can say that its facts hold."
        raise Invalid("manifest_not_signed", text)
    if odd := strangers(manifest, await source.names()):
        raise Damaged(f"{', '.join(odd[:3])} is not in the manifest" + (f" ({len(odd)} files)" if odd[1:] else ""))


def _whole(manifest: Manifest) -> None:
    """Refuse what is no whole ledger."""
    why = ""
    if manifest.kind != "export" or not manifest.complete:
        why = "it was not finished; export again, which goes on where it stopped"
    elif manifest.workspace:
        why = f"it holds the workspace {manifest.workspace!r} only: an extract, which proves itself but is no ledger"
    elif manifest.streams[FACTS].first != 1:
        why = "it does not begin with the first fact"
    if why:
        raise Invalid("not_importable", f"This export cannot be imported: {why}.")


async def _same(source: SegmentStorage, name: str, sha256: str) -> None:
    found = hashlib.sha256()
    async for chunk in _chunks(source, name):
        found.update(chunk)
    if found.hexdigest() != sha256:
        raise Damaged(f"{name} has the sha256 {found.hexdigest()}, not {sha256}")


async def _chunks(source: SegmentStorage, name: str) -> AsyncIterator[bytes]:
    start = 0
    while chunk := await source.get(name, start, start + CHUNK_BYTES):
        start += len(chunk)
        yield chunk


class Importer:
    """One import of an export that was ``checked``."""

    def __init__(
        self, nc: Client, url: str, source: SegmentStorage, manifest: Manifest,
        tell: Tell = lambda _what, _done, _all: None,
    ) -> None:  # fmt: skip
        self._nc, self._url, self._source, self._manifest, self._tell = nc, url, source, manifest, tell

    async def run(self) -> None:
        """Import. Raises ``Conflict`` (``not_empty``, ``somebody_writes``), ``Damaged`` when the result differs."""
        await ensure_streams(self._nc)
        digest = hashlib.sha256(await self._source.get(EXPORT)).hexdigest()
        await self._begin(digest)
        await self._blobs()
        if keys.FILE in self._manifest.files:
            await keys.given(self._nc, await self._source.get(keys.FILE))
        waiting = Waiting()
        for stream in self._manifest.streams:
            await self._stream(stream, waiting)
        await self._compare()
        await record(self._nc, {RUNNING: "", DONE: digest, STARTS: waiting.starts()})

    async def _stream(self, stream: str, waiting: Waiting) -> None:
        """Append one stream; the next segment is read while one is sent."""
        part = self._manifest.streams[stream]
        appender = Appender(self._nc, stream, atomic=self._url if stream == FACTS else "")
        if stream == SIGNALS:
            await appender.begin_at(part.segments[0].first if part.segments else part.last + 1)
        try:
            async with ahead(read_part(self._source, self._manifest, stream)) as batches:
                async for batch in batches:
                    await appender.append(batch)
                    if stream == FACTS:
                        waiting.take((message.sequence, message.subject) for message in batch)
                    self._tell(stream, batch[-1].sequence - part.first + 1, part.last - part.first + 1)
            if stream == SIGNALS:
                await appender.end_at(part.last)
        finally:
            await appender.close()

    async def _begin(self, digest: str) -> None:
        """Make sure that nothing is there but the beginning of this import."""
        infos = {s: await call(self._nc, f"STREAM.INFO.{s}") for s in (FACTS, SIGNALS, CHECKPOINTS, BLOBS)}
        metadata = infos[FACTS]["config"].get("metadata") or {}
        if metadata.get(RUNNING) == digest:
            return
        filled = [stream for stream, info in infos.items() if info["state"]["last_seq"]]
        if filled or metadata.get(RUNNING):
            raise Conflict(
                "not_empty",
                f"An export can only be imported into an empty installation; this one has {', '.join(filled)}.",
            )
        await record(self._nc, {RUNNING: digest})

    async def _blobs(self) -> None:
        store = NatsBlobStore(self._nc)
        blobs = self._manifest.blobs
        for number, blob in enumerate(blobs, 1):
            if await store.stat(blob.sha256) is None:
                info = await store.put(_chunks(self._source, blob_name(blob.sha256)))
                if info.sha256 != blob.sha256:
                    raise Damaged(f"blobs/{blob.sha256} was changed while it was imported")
            self._tell("blobs", number, len(blobs))

    async def _compare(self) -> None:
        """Read the streams again and compare them with the files, message by message."""
        for stream, part in self._manifest.streams.items():
            stored = read_stream(self._url, stream, [SUBJECTS[stream]], 0)
            async with ahead(read_part(self._source, self._manifest, stream)) as batches:
                await self._compare_stream(stream, part, batches, stored)

    async def _compare_stream(
        self, stream: str, part: Part, batches: AsyncIterator[list[Message]], stored: AsyncIterator[list[Message]]
    ) -> None:
        buffer: list[Message] = []
        async for batch in batches:
            while len(buffer) < len(batch) and (more := await anext(stored, None)) is not None:
                buffer += more
            if (bad := _first_difference(batch, buffer)) is not None:
                raise Damaged(f"{stream} differs from the export at sequence {bad}")
            del buffer[: len(batch)]
            self._tell("compare", batch[-1].sequence - part.first + 1, part.last - part.first + 1)
        if buffer or await anext(stored, None) is not None:
            raise Damaged(f"{stream} has more than the export")


def _first_difference(wanted: Sequence[Message], found: Sequence[Message]) -> int | None:
    if _keys(wanted) == _keys(found[: len(wanted)]):
        return None
    pairs = zip_longest(_keys(wanted), _keys(found[: len(wanted)]))
    return next(message.sequence for message, (one, other) in zip(wanted, pairs, strict=True) if one != other)


def _keys(messages: Sequence[Message]) -> list[tuple[int, str, bytes]]:
    return [(message.sequence, message.subject, message.data) for message in messages]

"""Copy a ledger into files: facts, signals, checkpoints and blobs, consistent at one place, with a manifest of digests.

It reads a living installation and may be interrupted: what is in the manifest is not read again. Facts are taken up to
the end as it is at the start, then signals up to theirs, so that no fact speaks of a signal that is not there.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import msgspec
from nats.aio.client import Client

from trialbook import subjects
from trialbook.audit.leaf import leaf_hashes
from trialbook.blobs.nats import NatsBlobStore
from trialbook.clock import Clock, SystemClock
from trialbook.errors import Conflict, Invalid, Unavailable
from trialbook.ledger import keys
from trialbook.ledger.ahead import ahead
from trialbook.ledger.manifest import (
    EXPORT,
    NOTE,
    Manifest,
    Part,
    StoredBlob,
    blob_name,
    decode,
    encode,
    leaves_name,
    read_part,
    segment_name,
    strangers,
)
from trialbook.ledger.proofs import Proving
from trialbook.ledger.reader import read_ledger
from trialbook.ledger.segments import SEGMENT_BYTES, SEGMENT_MESSAGES, Damaged, segment_of
from trialbook.ledger.storage import SegmentStorage
from trialbook.log.api import call
from trialbook.log.bulk import read_stream
from trialbook.log.tail import Message
from trialbook.streams import BLOBS, CHECKPOINTS, FACTS, SIGNALS
from trialbook.times import rfc3339

SUBJECTS = {SIGNALS: subjects.SIGNALS_ALL, CHECKPOINTS: subjects.CHECKPOINTS_ALL}
_DIGEST = re.compile(rb"[0-9a-f]{64}")
Table = Callable[[Sequence[Message]], bytes]
Sign = Callable[[bytes], Awaitable[bytes]]
"""The bytes of a manifest -> the note with its signature."""
OURS = tuple(f"{folder}/" for folder in ("facts", "signals", "checkpoints", "blobs"))
Tell = Callable[[str, int, int], None]
"""What is copied, how much of it has been, of how much: messages of a stream, or bytes of blobs."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What to export. ``first`` and ``last`` (0: the end) bound the facts; with ``first`` above 1, or a workspace, it
    is an extract and cannot be imported. ``signed`` is the size of the newest checkpoint: an extract ends there unless
    ``last`` says otherwise, so that each of its facts can be proven. ``table`` writes Parquet beside the facts.
    """

    first: int = 1
    last: int = 0
    workspace: str = ""
    signed: int = 0
    signals: bool = True
    blobs: bool = True
    keys: bool = False
    """Wrapped keys of data subjects; without them an import shows placeholders where facts are sealed."""
    table: Table | None = None


class Exporter:
    """One export. ``source`` is where sealed facts are, ``target`` where the export goes."""

    def __init__(
        self, nc: Client, url: str, source: SegmentStorage | None, target: SegmentStorage, options: Options,
        tell: Tell = lambda _what, _done, _all: None, clock: Clock | None = None, sign: Sign | None = None,
    ) -> None:  # fmt: skip
        """Without ``sign`` nothing proves what is no fact: signals, tables, keys."""
        self._sign = sign
        self._nc, self._url, self._source, self._target = nc, url, source, target
        self._options, self._tell, self._clock = options, tell, clock or SystemClock()

    async def run(self) -> Manifest:
        """Export, or go on with an export that was interrupted.

        Raises ``Conflict`` (``export_exists``, ``folder_not_empty``), ``Invalid`` (``other_export``), ``Unavailable``.
        """
        manifest = await self._begin()
        try:
            for stream in manifest.streams:
                await self._stream(manifest, stream)
        except Damaged as error:
            raise Unavailable("ledger_damaged", f"The ledger cannot be exported: {error}.") from error
        if self._options.workspace:
            await self._prove(manifest)
        if self._options.blobs:
            await self._blobs(manifest)
        if self._options.keys:
            lines = await keys.taken(self._url)
            await self._target.put(keys.FILE, lines)
            manifest.files[keys.FILE] = hashlib.sha256(lines).hexdigest()
        await self._complete(manifest)
        return manifest

    async def _complete(self, manifest: Manifest) -> None:
        """Sign, and say that it is complete: in this order, so that one that is complete has its signature."""
        manifest.complete, manifest.note = True, NOTE if self._sign else ""
        for name in strangers(manifest, await self._target.names()):
            if name.startswith(OURS) or name == NOTE:  # of an attempt that was interrupted; what expired or was erased
                await self._target.delete(name)
        if self._sign:
            await self._target.put(NOTE, await self._sign(encode(manifest)))
        await self._save(manifest)

    async def _begin(self) -> Manifest:
        if await self._target.size(EXPORT) is None:
            if await self._target.names():
                raise Conflict("folder_not_empty", "There is something else where the export should go.")
            manifest = await self._plan()
            await self._save(manifest)
            return manifest
        manifest = decode(await self._target.get(EXPORT))
        if manifest.complete:
            raise Conflict("export_exists", "There is a complete export already.")
        facts, options = manifest.streams[FACTS], self._options
        begun = (manifest.workspace, facts.first, manifest.without, manifest.formats)
        asked = (options.workspace, options.first, self._without(), self._formats())
        if begun != asked or options.last not in (0, facts.last):
            raise Invalid("other_export", "An export with other options was begun there; repeat it with those.")
        return manifest

    def _formats(self) -> list[str]:
        return ["ndjson", "parquet"] if self._options.table else ["ndjson"]

    def _without(self) -> list[str]:
        return ["signals"] * (not self._options.signals) + ["blobs"] * (not self._options.blobs)

    async def _plan(self) -> Manifest:
        """How far everything goes; asked in this order, because verdicts name signals."""
        options = self._options
        signed = (await call(self._nc, f"STREAM.INFO.{CHECKPOINTS}"))["state"]  # first: none is of later facts
        state = (await call(self._nc, f"STREAM.INFO.{FACTS}"))["state"]
        last = state["last_seq"]
        if not 1 <= options.first <= max(1, last) or options.last > last:
            raise Invalid("no_such_facts", f"The ledger has the facts 1 to {last}.")
        end = options.signed if options.workspace and options.signed >= options.first else last
        parts = {FACTS: Part(first=options.first, last=options.last or end)}
        for stream in (SIGNALS, CHECKPOINTS):
            state = signed if stream == CHECKPOINTS else (await call(self._nc, f"STREAM.INFO.{stream}"))["state"]
            left_out = stream == SIGNALS and not options.signals  # but their places are kept: cursors name them
            first = state["last_seq"] + 1 if left_out else max(1, state["first_seq"])
            parts[stream] = Part(first=first, last=state["last_seq"])
        return Manifest(
            kind="export", origin="", created_at=rfc3339(self._clock.now()), workspace=options.workspace,
            formats=self._formats(), without=self._without(), streams=parts,
        )  # fmt: skip

    async def _save(self, manifest: Manifest) -> None:
        await self._target.put(EXPORT, encode(manifest))

    async def _stream(self, manifest: Manifest, stream: str) -> None:
        """Copy what is missing of a stream, segment by segment."""
        part = manifest.streams[stream]
        if max(part.reached, part.first - 1) >= part.last:
            return
        async with ahead(self._cut(stream, self._read(stream, part))) as portions:
            async for portion, reached in portions:
                if portion:
                    await self._segment(manifest, stream, portion)
                part.reached = reached
                await self._save(manifest)
                self._tell(stream, reached - part.first + 1, part.last - part.first + 1)
        part.reached = part.last

    def _read(self, stream: str, part: Part) -> AsyncIterator[list[Message]]:
        after = max(part.reached, part.first - 1)
        if stream == FACTS:
            return read_ledger(self._nc, self._url, self._source, after, part.last, headers=True)
        return read_stream(self._url, stream, [SUBJECTS[stream]], after, part.last, headers=True)

    async def _cut(
        self, stream: str, batches: AsyncIterator[list[Message]]
    ) -> AsyncIterator[tuple[list[Message], int]]:
        """Portions for segments, and the place up to which each of them goes: filters leave things out."""
        workspace = self._options.workspace if stream != CHECKPOINTS else ""
        portion: list[Message] = []
        size = position = 0
        async for batch in batches:
            for message in batch:
                position = message.sequence
                if not workspace or message.subject.split(".", 2)[1] == workspace:
                    portion.append(message)
                    size += len(message.data)
                if position % SEGMENT_MESSAGES == 0 or size >= SEGMENT_BYTES:
                    yield portion, position
                    portion, size = [], 0
        if portion:
            yield portion, position

    async def _segment(self, manifest: Manifest, stream: str, portion: list[Message]) -> None:
        name = segment_name(stream.lower(), portion[0].sequence, portion[-1].sequence)
        segment, content = await asyncio.to_thread(segment_of, portion, name, rfc3339(self._clock.now()))
        if self._options.table is not None and stream == FACTS:
            table = await asyncio.to_thread(self._options.table, portion)
            parquet = name.removesuffix(".ndjson.gz") + ".parquet"
            await self._target.put(parquet, table)
            digest = hashlib.sha256(table).hexdigest()
            segment = msgspec.structs.replace(segment, parquet=parquet, parquet_sha256=digest)
        if stream == FACTS and not self._options.workspace:
            leaves = await asyncio.to_thread(leaf_hashes, [(m.sequence, m.subject, m.data) for m in portion])
            await self._target.put(leaves_name(segment), b"".join(leaves))
            manifest.files[leaves_name(segment)] = hashlib.sha256(b"".join(leaves)).hexdigest()
        await self._target.put(name, content)
        manifest.streams[stream].segments.append(segment)

    async def _prove(self, manifest: Manifest) -> None:
        """An inclusion proof for each fact of an extract, in the tree of the newest checkpoint."""
        proving = Proving(self._target, manifest)
        if await proving.begin():
            async for batch in read_ledger(self._nc, self._url, self._source, 0, proving.size):
                await proving.take(batch)
                self._tell("proofs", proving.taken, proving.size)
            await proving.write()

    async def _blobs(self, manifest: Manifest) -> None:
        store = NatsBlobStore(self._nc)
        found = manifest.blobs
        known = {blob.sha256 for blob in found}
        wanted = [digest for digest in await self._digests(manifest) if digest not in known]
        for number, digest in enumerate(wanted, 1):
            size = await self._target.put(blob_name(digest), _checked(store.get(digest), digest))
            found.append(StoredBlob(sha256=digest, size=size))
            if number % 64 == 0:
                await self._save(manifest)
            self._tell("blobs", len(known) + number, len(known) + len(wanted))

    async def _digests(self, manifest: Manifest) -> list[str]:
        """The blobs that there are: all, or those that facts of the workspace name."""
        found: list[str] = []
        async for batch in read_stream(self._url, BLOBS, [subjects.blob("*", "meta")], 0):
            found += [message.subject.split(".")[1] for message in batch]
        if not manifest.workspace:
            return found
        named: set[str] = set()
        async for batch in read_part(self._target, manifest, FACTS):
            named.update(digest.decode() for message in batch for digest in _DIGEST.findall(message.data))
        return [digest for digest in found if digest in named]


async def _checked(chunks: AsyncIterator[bytes], digest: str) -> AsyncIterator[bytes]:
    """The bytes of a blob; raises ``Damaged`` at their end when they are not those of its digest."""
    found = hashlib.sha256()
    async for chunk in chunks:
        found.update(chunk)
        yield chunk
    if found.hexdigest() != digest:
        raise Damaged(f"the bytes stored under sha256 {digest} have the sha256 {found.hexdigest()}")

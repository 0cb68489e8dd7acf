"""What is sealed: the list of segments, and single facts out of them."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from nats.aio.client import Client

from trialbook import subjects
from trialbook.audit import leaf, merkle
from trialbook.codec import decode_event
from trialbook.envelope import AggregateId, Recorded
from trialbook.errors import Forbidden, Refusal, Unavailable
from trialbook.ledger.manifest import Manifest
from trialbook.ledger.reader import read_segment, sealed_manifest
from trialbook.ledger.segments import Damaged, Segment, block_messages
from trialbook.ledger.storage import SegmentStorage
from trialbook.log.api import call
from trialbook.log.purged import Boundary, boundary_of
from trialbook.log.tail import Message
from trialbook.queries import LedgerFacts, LedgerPage, LedgerSegments, SegmentList, SegmentView
from trialbook.streams import FACTS
from trialbook_projector.live import Live
from trialbook_projector.queries.reading import EVERYWHERE
from trialbook_projector.segments_store import open_storage, without_secrets
from trialbook_projector.settings import Settings
from trialbook_projector.tables.message import UNREADABLE

PAGE = 1000
PAGE_BYTES = 2 * 1024 * 1024
CACHED_BLOCKS = 32
_SEQUENCES = """
SELECT sequence FROM book.facts
WHERE kind = $kind AND workspace = $workspace AND aggregate = $id AND sequence > $after AND sequence <= $until
UNION ALL
SELECT sequence FROM book.parked
WHERE stream = 'FACTS' AND starts_with(subject, $subject) AND sequence > $after AND sequence <= $until
ORDER BY sequence LIMIT $limit
"""


def root_of(messages: Sequence[Message]) -> str:
    """Merkle tree hash over facts as leaves (RFC 6962), in hex."""
    return merkle.head(leaf.leaf_hashes((m.sequence, m.subject, m.data) for m in messages)).hex()


class Segments:
    """Reads what is sealed, for the questions ``ledger.facts`` and ``ledger.segments``."""

    def __init__(self, nc: Client, live: Live, settings: Settings) -> None:
        self._nc, self._live, self._settings = nc, live, settings
        self.storage: SegmentStorage = open_storage(settings.segments, settings.environment)
        self._manifest: tuple[Boundary, Manifest] | None = None
        self._blocks: OrderedDict[tuple[str, int], list[Message]] = OrderedDict()

    async def answer(self, workspace: str, query: LedgerFacts | LedgerSegments) -> LedgerPage | SegmentList:
        """The answer to a question about what is sealed. Raises ``Unavailable`` when it is damaged or not there."""
        try:
            if isinstance(query, LedgerSegments):
                if workspace != EVERYWHERE:
                    raise Forbidden("ledger_forbidden", "This concerns the whole ledger, not a workspace.")
                return await self._list(query.verify)
            return await self._facts(AggregateId(workspace, query.kind, query.id), query.after)
        except Damaged as error:
            raise Unavailable("segment_damaged", f"Sealed facts cannot be trusted: {error}.") from error

    async def manifest(self, known: Boundary) -> Manifest:
        """The segments at a boundary; remembered."""
        if self._manifest is None or self._manifest[0] != known:
            self._manifest = known, await sealed_manifest(self.storage, known)
        return self._manifest[1]

    async def _info(self) -> dict[str, Any]:
        return await call(self._nc, f"STREAM.INFO.{FACTS}")

    async def _facts(self, aggregate: AggregateId, after: int) -> LedgerPage:
        known = boundary_of(await self._info())
        if known.sequence <= after:
            return LedgerPage()
        await self._live.watermarks.wait(known.sequence, 0, self._settings.wait_s)
        parameters = {
            "kind": aggregate.kind, "workspace": aggregate.workspace, "id": aggregate.id, "after": after,
            "until": known.sequence, "limit": PAGE + 1, "subject": subjects.aggregate_facts(aggregate)[:-1],
        }  # fmt: skip

        def read(cursor: Any) -> list[int]:
            return [row[0] for row in cursor.execute(_SEQUENCES, parameters).fetchall()]

        sequences = await self._live.tables.readers.run(read)
        found: list[Recorded] = []
        size = 0
        manifest = await self.manifest(known)
        for sequence in sequences[:PAGE]:
            message = await self._one(manifest, sequence)
            size += len(message.data)
            found.append(_recorded(message))
            if size > PAGE_BYTES:
                break
        return LedgerPage(items=found, more=len(found) < len(sequences))

    async def _one(self, manifest: Manifest, sequence: int) -> Message:
        """A sealed fact, from its block."""
        segments = manifest.streams[FACTS].segments
        segment = segments[bisect_right(segments, sequence, key=lambda s: s.first) - 1]
        number = bisect_right(segment.blocks, sequence, key=lambda b: b[0]) - 1
        messages = await self._block(segment, number)
        place = sequence - messages[0].sequence
        if not 0 <= place < len(messages) or messages[place].sequence != sequence:
            raise Damaged(f"fact {sequence} is not where segment {segment.name} should have it")
        return messages[place]

    async def _block(self, segment: Segment, number: int) -> list[Message]:
        key = segment.name, number
        found = self._blocks.get(key)
        if found is None:
            start = segment.blocks[number][1]
            end = segment.blocks[number + 1][1] if number + 1 < len(segment.blocks) else segment.bytes
            content = await self.storage.get(segment.name, start, end)
            found = await asyncio.to_thread(block_messages, content, f"block {number} of segment {segment.name}")
            self._blocks[key] = found
            if len(self._blocks) > CACHED_BLOCKS:
                self._blocks.popitem(last=False)
        self._blocks.move_to_end(key)
        return found

    async def _list(self, verify: bool) -> SegmentList:
        info = await self._info()
        known = boundary_of(info)
        segments = (await self.manifest(known)).streams[FACTS].segments if known.sequence else []
        state = info["state"]
        return SegmentList(
            sealed_to=known.sequence, last=state["last_seq"],
            in_stream=state["messages"] - (state["last_seq"] - known.sequence) if known.sequence else 0,
            location=without_secrets(self._settings.segments),
            segments=[_view(s, await self._problem(s) if verify else None) for s in segments], verified=verify,
        )  # fmt: skip

    async def _problem(self, segment: Segment) -> str | None:
        """What is wrong with a segment, in words."""
        try:
            messages = await read_segment(self.storage, segment)
        except (Damaged, Refusal) as error:
            return str(error)
        if not segment.whole:
            return "facts are left out"
        if await asyncio.to_thread(root_of, messages) != segment.root:
            return "the facts are not those that were sealed: their tree hash differs"
        return None


def _recorded(message: Message) -> Recorded:
    try:
        return Recorded(sequence=message.sequence, event=decode_event(message.data))
    except UNREADABLE as error:
        raise Unavailable("unreadable_fact", f"Fact {message.sequence} cannot be read: {error}.") from error


def _view(segment: Segment, problem: str | None) -> SegmentView:
    return SegmentView(
        name=segment.name, first=segment.first, last=segment.last, count=segment.count, bytes=segment.bytes,
        sha256=segment.sha256, root=segment.root, parquet=segment.parquet, written_at=segment.written_at,
        problem=problem,
    )  # fmt: skip

"""What the tests of sealing share: a ledger sealed by hand, and purged facts read from files."""

from trialbook.codec import decode_event
from trialbook.envelope import AggregateId, Recorded
from trialbook.ledger.reader import read_sealed
from trialbook.ledger.storage import SegmentStorage
from trialbook.log.bulk import read_stream
from trialbook.log.purged import boundary
from trialbook.log.tail import Message
from trialbook_projector.seal_write import cut


async def stream_of(url: str, stream: str, subject: str, *, headers: bool = True) -> list[Message]:
    return [m async for batch in read_stream(url, stream, [subject], 0, headers=headers) for m in batch]


class StoredFacts:
    """Purged facts straight from the segments, for logs that are tested without a projector."""

    def __init__(self, nc, storage: SegmentStorage) -> None:  # type: ignore[no-untyped-def]
        self._nc, self._storage = nc, storage

    async def read(self, aggregate: AggregateId, after: int) -> list[Recorded]:
        known = await boundary(self._nc)
        found: list[Recorded] = []
        async for batch in read_sealed(self._storage, known, after):
            for message in batch:
                event = decode_event(message.data)
                if event.subject == aggregate.subject:
                    found.append(Recorded(sequence=message.sequence, event=event))
        return found


__all__ = ["StoredFacts", "cut", "stream_of"]

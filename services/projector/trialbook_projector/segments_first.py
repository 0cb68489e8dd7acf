"""Tables that are behind the boundary of what is sealed: they are brought up to it from the segments, before the stream
is followed, and a stream that loses facts beneath its reader is noticed.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator

from nats.aio.client import Client

from trialbook.errors import Unavailable
from trialbook.ledger.reader import read_sealed, until_gap
from trialbook.ledger.segments import Damaged
from trialbook.ledger.storage import SegmentStorage
from trialbook.log.purged import boundary
from trialbook.log.tail import Message

log = logging.getLogger(__name__)


class SegmentsFirst:
    """``left`` counts the sealed facts that are still to be applied."""

    def __init__(self, nc: Client, storage: SegmentStorage) -> None:
        self._nc, self._storage = nc, storage
        self.left = 0

    async def batches(self, after: int, size: int) -> AsyncIterator[list[Message]]:
        """Sealed facts after a position, up to the boundary. Raises ``Unavailable`` when a segment is damaged."""
        known = await boundary(self._nc)
        if known.sequence <= after:
            return
        log.info("reading sealed facts from=%d to=%d", after + 1, known.sequence)
        self.left = known.sequence - after
        try:
            async for batch in read_sealed(self._storage, known, after):
                for start in range(0, len(batch), size):
                    part = batch[start : start + size]
                    yield part
                    self.left -= len(part)
        except Damaged as error:
            raise Unavailable("segment_damaged", f"Sealed facts cannot be trusted: {error}.") from error

    async def check(self, after: int, batch: list[Message]) -> None:
        """Look at a batch of the stream that should follow ``after``.

        Raises ``Unavailable`` when the facts in between have been sealed meanwhile: begin again. Facts that are
        nowhere are an error to be reported, by the audit as well, but what is left is still to be shown.
        """
        whole = until_gap(batch, after)
        while len(whole) < len(batch):
            position = whole[-1].sequence if whole else after
            if (await boundary(self._nc)).sequence > position:
                raise Unavailable("ledger_sealed", f"Facts after {position} were sealed before they were read.")
            batch = batch[len(whole) :]
            log.error("facts %d to %d are missing in the ledger", position + 1, batch[0].sequence - 1)
            whole = until_gap(batch, batch[0].sequence - 1)

"""The last value of each metric of a finished run, read from its signals."""

from __future__ import annotations

import msgspec
from nats.aio.client import Client

from trialbook import subjects
from trialbook.codec import decode_event
from trialbook.envelope import AggregateId
from trialbook.log.api import call
from trialbook.log.tail import Tail
from trialbook.signals import Metrics
from trialbook.streams import SIGNALS

WAIT_S = 5.0
_decode = msgspec.json.Decoder(Metrics).decode


class Measurements:
    """Reads the SIGNALS stream."""

    def __init__(self, nc: Client) -> None:
        self._nc = nc

    async def last(self, run: AggregateId, signal_sequence: int) -> dict[str, float | None]:
        """Metric name -> last value, of the chunks up to ``signal_sequence`` (0: the run emitted nothing)."""
        values: dict[str, float | None] = {}
        if not signal_sequence:
            return values
        subject = subjects.signal(run.workspace, run.id, "metric")
        info = await call(self._nc, f"STREAM.INFO.{SIGNALS}", {"subjects_filter": subject})
        left = (info["state"].get("subjects") or {}).get(subject, 0)
        if not left:
            return values
        async with Tail(self._nc, SIGNALS, [subject], 0) as tail:
            while left > 0 and (batch := await tail.next(timeout_s=WAIT_S)):
                left -= len(batch)
                for message in batch:
                    if message.sequence <= signal_sequence:
                        records = _decode(decode_event(message.data).data).records
                        values.update((record.name, record.value) for record in records)
        return values

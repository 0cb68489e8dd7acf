"""An EventLog in memory: for domain tests and for users who test their own deciders."""

from __future__ import annotations

from collections.abc import Sequence

from trialbook.envelope import AggregateId, Recorded
from trialbook.ports import Part, VersionConflict


class MemoryEventLog:
    """Appends are atomic because nothing awaits between check and append."""

    def __init__(self) -> None:
        self.records: list[tuple[AggregateId, Recorded]] = []
        self._ids: set[str] = set()

    async def append(self, parts: Sequence[Part]) -> list[int]:
        """See ``EventLog.append``."""
        if len({part.aggregate for part in parts}) != len(parts):
            raise ValueError("an aggregate may appear once per append")
        if all(event.id in self._ids for part in parts for event in part.events):
            return [self._sequence_of(part) for part in parts]
        for part in parts:
            if self._last(part.aggregate) != part.expected:
                raise VersionConflict
        ends: list[int] = []
        for part in parts:
            for event in part.events:
                self.records.append((part.aggregate, Recorded(sequence=len(self.records) + 1, event=event)))
                self._ids.add(event.id)
            ends.append(len(self.records))
        return ends

    def _last(self, aggregate: AggregateId) -> int:
        return max((r.sequence for a, r in self.records if a == aggregate), default=0)

    def _sequence_of(self, part: Part) -> int:
        last = part.events[-1].id
        return next(r.sequence for _, r in self.records if r.event.id == last)

    async def read(self, aggregate: AggregateId, after: int = 0) -> list[Recorded]:
        """See ``EventLog.read``."""
        return [r for a, r in self.records if a == aggregate and r.sequence > after]

    async def last_sequence(self) -> int:
        """See ``EventLog.last_sequence``."""
        return len(self.records)

"""Lanes and their runs as a command handler last saw them, so that handing a lane over needs no reads.

What is given out here without asking the log is always part of the append that it leads to, whose compare-and-set
refuses it when it was out of date; then it is read.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from trialbook.draft import Loaded
from trialbook.envelope import AggregateId

REMEMBERED = 1024
"""Lanes, and as many runs."""


class LaneMemory:
    """Bounded; the oldest is forgotten first."""

    def __init__(self, remembered: int = REMEMBERED) -> None:
        self._remembered = remembered
        self._lanes: OrderedDict[AggregateId, Loaded[Any]] = OrderedDict()
        self._runs: OrderedDict[AggregateId, Loaded[Any]] = OrderedDict()

    def remember(self, aggregate: AggregateId, known: Loaded[Any]) -> None:
        """Keep a lane, or a run that waits in one or was just let in."""
        kept = self._lanes if aggregate.kind == "lane" else self._runs
        kept[aggregate] = known
        kept.move_to_end(aggregate)
        if len(kept) > self._remembered:
            kept.popitem(last=False)

    def lane(self, lane: AggregateId) -> Loaded[Any] | None:
        """A lane as it was; what is newer is to be read."""
        return self._lanes.get(lane)

    def lane_of(self, lane: AggregateId, run: str) -> Loaded[Any] | None:
        """A lane in which the run was inside: its leaving changes the lane, whoever has joined meanwhile."""
        known = self._lanes.get(lane)
        inside = known.state.inside if known is not None else None
        return known if inside is not None and inside.run == run else None

    def waiting(self, run: AggregateId, ticket: str) -> Loaded[Any] | None:
        """A run that was held with this ticket: letting it in changes it."""
        known = self._runs.get(run)
        return known if known is not None and known.state.held and known.state.ticket == ticket else None

    def let_in(self, run: AggregateId, sequence: int) -> Loaded[Any] | None:
        """The run as it was at this sequence, when that is the last one known of it. It is forgotten."""
        known = self._runs.pop(run, None)
        return known if known is not None and known.sequence == sequence else None

"""What this gateway has just written or told, so that whoever writes or sees it here reads it here without naming a
sequence.

Across several gateways a client says ``at_least=<Trialbook-Sequence>`` instead.
"""

from __future__ import annotations

from collections import OrderedDict

from trialbook.envelope import AggregateId

REMEMBERED = 32_768


class Written:
    """The last sequence of the aggregates written lately, and of every workspace."""

    def __init__(self) -> None:
        self._last: OrderedDict[AggregateId, int] = OrderedDict()
        self._workspaces: dict[str, int] = {}

    def note(self, aggregate: AggregateId, sequence: int) -> None:
        """Remember an append, or up to where something was told."""
        self._last[aggregate] = max(sequence, self._last.pop(aggregate, 0))
        if len(self._last) > REMEMBERED:
            self._last.popitem(last=False)
        self.told(aggregate.workspace, sequence)

    def told(self, workspace: str, sequence: int) -> None:
        """Remember up to where a workspace was told."""
        self._workspaces[workspace] = max(sequence, self._workspaces.get(workspace, 0))

    def last(self, aggregate: AggregateId) -> int:
        """Its sequence, 0 when it was neither written nor told here, or long ago."""
        return self._last.get(aggregate, 0)

    def in_workspace(self, workspace: str) -> int:
        """The last sequence that was written or told here in a workspace: what a list of it must have seen."""
        return self._workspaces.get(workspace, 0)

"""Runs of one lane are executed one after another: what else is decided when such a run is queued or ends.

The lane's own facts, and the release of the next run, stand in the same atomic append as the run's: there is no moment
at which a run has ended and its successor does not know it.
"""

from __future__ import annotations

from typing import Any, Protocol

from msgspec.structs import replace

from trialbook.domain import lane as domain
from trialbook.domain.run import commands as c
from trialbook.domain.run import events as e
from trialbook.draft import Draft, Outcome
from trialbook.envelope import AggregateId
from trialbook.ids import derived_id

QUEUEING = (c.Create, c.Start, c.Retry, c.RequestResume)
"""Commands after which a run may stand in a queue."""
LEAVING = (e.Completed, e.Failed, e.Cancelled, e.Paused)


class Need(Protocol):
    """Makes sure that the draft can decide over an aggregate."""

    async def __call__(self, aggregate: AggregateId, *, leaving: str = "", ticket: str = "") -> None:
        """``leaving``: a run is to leave this lane if it is inside; ``ticket``: this run is to be let in with it."""
        ...


def lane_aggregate(workspace: str, name: str) -> AggregateId:
    """The aggregate of a workspace's lane."""
    return AggregateId(workspace, "lane", derived_id("lane", workspace, name))


def lane_name(aggregate: AggregateId, command: Any, state: Any) -> str:
    """The lane of the run that a command is for; empty for everything else."""
    if aggregate.kind != "run":
        return ""
    spec = command.spec if isinstance(command, c.Create) else state.spec
    return str(spec.lane) if spec is not None else ""


async def decide_in_lane(draft: Draft, run: AggregateId, command: Any, name: str, need: Need) -> Outcome[Any]:
    """Decide a command on a run of a lane, and what follows for the lane and for those who wait in it."""
    lane = lane_aggregate(run.workspace, name)
    if isinstance(command, QUEUEING) and (not isinstance(command, c.Create) or command.start):
        await need(lane)
        inside = draft.state(lane).inside
        command = replace(command, held=inside is not None and inside.run != run.id)
    outcome = draft.decide(run, command)
    for fact in outcome.facts:
        if isinstance(fact, e.Submitted | e.Queued):
            draft.decide(lane, domain.Join(lane=name, run=run.id, ticket=fact.ticket))
        elif isinstance(fact, LEAVING):
            await need(lane, leaving=run.id)
            await _leave(draft, lane, run.id, need)
    return outcome


async def _leave(draft: Draft, lane: AggregateId, run: str, need: Need) -> None:
    before = draft.state(lane).inside
    draft.decide(lane, domain.Leave(run=run))
    while (inside := draft.state(lane).inside) is not None and inside != before:
        following = AggregateId(lane.workspace, "run", inside.run)
        await need(following, ticket=inside.ticket)
        if draft.decide(following, c.Turn(ticket=inside.ticket)).facts:
            return
        draft.decide(lane, domain.Leave(run=inside.run))  # it does not wait any more

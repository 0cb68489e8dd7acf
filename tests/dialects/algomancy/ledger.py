"""What the ledger says about a session."""

from __future__ import annotations

from typing import Any

from trialbook import subjects
from trialbook.codec import decode_event, fact_of
from trialbook.domain import lane
from trialbook.log.bulk import read_stream
from trialbook_deploy.stack import Stack


async def lane_facts(stack: Stack, session: str) -> tuple[list[str], list[str], list[tuple[str, Any]]]:
    """Runs in the order of joining and of leaving, and all facts of runs."""
    joined, left, facts = [], [], []
    workspace = session.replace("-", "")
    async for batch in read_stream(stack.nats_url, "FACTS", [subjects.facts_of(workspace)], 0):
        for message in batch:
            event = decode_event(message.data)
            fact, aggregate = fact_of(event), subjects.aggregate_of(event)
            if isinstance(fact, lane.Joined):
                joined.append(fact.run)
            elif isinstance(fact, lane.Left):
                left.append(fact.run)
            elif aggregate.kind == "run":
                facts.append((aggregate.id, fact))
    return joined, left, facts

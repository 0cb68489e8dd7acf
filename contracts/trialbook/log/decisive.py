"""Read what decisions about an aggregate depend on, when its history is long.

A run may have tens of thousands of facts that only record something (model calls, checkpoints). Who wants to cancel it
need not read them: the newest fact of every subject comes with one request, and only the other types are read whole.
"""

from __future__ import annotations

import asyncio

from nats.aio.client import Client
from nats.aio.msg import Msg

from trialbook import subjects
from trialbook.aggregates import AGGREGATES
from trialbook.envelope import AggregateId, Recorded
from trialbook.errors import Unavailable
from trialbook.log.read import BATCH, TRIES, read_facts, recorded, request_messages

SHORT = 64
"""Facts that are read in any case: most histories have fewer."""
RETRY_S = 0.05


async def read_decisive(nc: Client, aggregate: AggregateId, after: int = 0) -> list[Recorded]:
    """Like ``read_facts``, but of the types in ``Aggregate.records`` only some of the facts, the newest among them.

    So the last one is always the aggregate's newest fact. Raises ``Unavailable``.
    """
    filter_ = subjects.aggregate_facts(aggregate)
    spared = AGGREGATES[aggregate.kind].records
    if not spared:
        return await read_facts(nc, filter_, after)
    page, more = await request_messages(nc, {"seq": after + 1, "batch": SHORT, "next_by_subj": filter_})
    found = [recorded(message) for message in page]
    return [*found, *await _rest(nc, filter_, spared, found[-1].sequence)] if more else found


async def _rest(nc: Client, filter_: str, spared: frozenset[str], after: int) -> list[Recorded]:
    for _ in range(TRIES):
        newest, _more = await request_messages(nc, {"multi_last": [filter_], "batch": BATCH})
        last = {_subject(message): fact for message in newest if (fact := recorded(message)).sequence > after}
        whole = [subject for subject in last if subject.split(".")[4] not in spared]
        histories = await asyncio.gather(*(read_facts(nc, subject, after) for subject in whole))
        if all(_reaches(history, last[subject]) for subject, history in zip(whole, histories, strict=True)):
            end = max((fact.sequence for fact in last.values()), default=after)
            facts = {fact.sequence: fact for fact in (*last.values(), *(f for history in histories for f in history))}
            return [facts[sequence] for sequence in sorted(facts) if sequence <= end]
        await asyncio.sleep(RETRY_S)  # a server that is behind has answered
    raise Unavailable("ledger_unavailable", "The ledger's servers differ; try again.")


def _subject(message: Msg) -> str:
    return (message.headers or {})["Nats-Subject"]


def _reaches(history: list[Recorded], newest: Recorded) -> bool:
    return bool(history) and history[-1].sequence >= newest.sequence

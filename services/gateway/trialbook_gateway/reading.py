"""Reading one run, waiting for its end if asked."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec

from trialbook.domain.run.state import TERMINAL
from trialbook.queries import Answer, EventList, RunGet, RunList
from trialbook_gateway import replies
from trialbook_gateway.schemas.base import SEQUENCE_MAX
from trialbook_gateway.services import Caller, Services

YOUNG_S = 30.0
HEAD_START_S = 0.05
RECHECK_S = 5.0
"""A verdict whose tap was lost (a reconnect) is found at the latest after this."""


def seen_in(services: Services, caller: Caller, at_least: int) -> int:
    """The sequence that a list must have seen: as asked, and what was written here in the caller's workspace."""
    return max(at_least, services.written.in_workspace(caller.workspace))


async def pages(services: Services, caller: Caller, query: RunList) -> AsyncIterator[Answer]:
    """All pages of a list, each as the list was when the first one was read: its ``facts`` say when that was."""
    while True:
        answer = await services.ask.ask(caller.workspace, query, services.settings.ask_timeout_s)
        yield answer
        cursor = replies.page_head(answer.result or b"{}").next_cursor
        if cursor is None:
            return
        query = msgspec.structs.replace(query, cursor=str(cursor), as_of=query.as_of or str(answer.facts))


async def moment_of(services: Services, caller: Caller, as_of: str) -> int:
    """The ledger sequence that ``as_of`` means; empty: the end. Raises ``Invalid``."""
    if not as_of:
        return SEQUENCE_MAX
    question = EventList(as_of=as_of, limit=1)
    return (await services.ask.ask(caller.workspace, question, services.settings.ask_timeout_s)).facts


async def read_run(services: Services, workspace: str, query: RunGet, wait_s: float = 0.0) -> Answer:
    """The run's view; with ``wait_s`` it is held back until the run has ended or the time is over."""
    timeout_s = services.settings.ask_timeout_s
    if not wait_s:
        return await services.ask.ask(workspace, query, timeout_s)
    deadline = services.clock.monotonic() + wait_s
    seen = services.verdicts.known(workspace, query.id)
    if not seen and _young(services, query.id):
        # Most who wait have just submitted: a moment's patience saves the projector a question it cannot answer yet.
        seen = await services.verdicts.wait(workspace, query.id, min(HEAD_START_S, wait_s))
    while True:
        asked = msgspec.structs.replace(query, at_least=max(query.at_least, seen))
        answer = await services.ask.ask(workspace, asked, timeout_s)
        left = deadline - services.clock.monotonic()
        if left <= 0 or replies.brief(replies.result_of(answer)).status in TERMINAL:
            return answer
        seen = await services.verdicts.wait(workspace, query.id, min(left, RECHECK_S), after=seen)


def _young(services: Services, run: str) -> bool:
    """Whether the id was made within the last seconds: its first 48 bits are Unix milliseconds."""
    if run[12] != "7":
        return False
    return abs(services.clock.now().timestamp() - int(run[:12], 16) / 1000) < YOUNG_S

"""Many scenarios at once, from the projector's tables, and the large results that do not stand in their runs."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence

import msgspec

from trialbook.queries import PAGE_LIMIT, Answer, RunList
from trialbook_gateway import replies
from trialbook_gateway.dialects.algomancy.shape import SCENARIO, Run
from trialbook_gateway.reading import pages, seen_in
from trialbook_gateway.services import Caller, Services

REMEMBERED_BYTES = 64 * 1024 * 1024
AT_ONCE = 8
STATUSES = {
    "created": ["created"], "queued": ["queued", "paused"], "processing": ["running"], "complete": ["completed"],
    "failed": ["failed", "cancelled"],
}  # fmt: skip


class _Page(msgspec.Struct, frozen=True):
    items: list[Run]


_decode = msgspec.json.Decoder(_Page).decode


class Results:
    """Large results by digest; those read lately are kept."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._bytes = 0

    async def of(self, run: Run) -> bytes | None:
        """The JSON of a run's large result, None when it has none."""
        sha256 = run.artifact
        if sha256 is None:
            return None
        if sha256 in self._kept:
            self._kept.move_to_end(sha256)
            return self._kept[sha256]
        content = b"".join([piece async for piece in self._services.blobs.get(sha256)])
        if sha256 not in self._kept:
            self._kept[sha256] = content
            self._bytes += len(content)
        while self._bytes > REMEMBERED_BYTES:
            self._bytes -= len(self._kept.popitem(last=False)[1])
        return content

    async def of_all(self, runs: Sequence[Run]) -> list[bytes | None]:
        """The large results of several runs, in their order."""
        found: list[bytes | None] = []
        for start in range(0, len(runs), AT_ONCE):
            found += await asyncio.gather(*(self.of(run) for run in runs[start : start + AT_ONCE]))
        return found


async def page(
    services: Services,
    caller: Caller,
    *,
    status: str = "",
    algorithm: str = "",
    sweep: str = "",
    cursor: str = "",
    limit: int = PAGE_LIMIT,
) -> tuple[list[Run], str | None]:
    """Scenarios in creation order, and where to go on."""
    query = _query(services, caller, status=status, algorithm=algorithm, sweep=sweep)
    query = msgspec.structs.replace(query, cursor=cursor, limit=limit)
    answer = await services.ask.ask(caller.workspace, query, services.settings.ask_timeout_s)
    return _known(answer), replies.page_head(answer.result or b"{}").next_cursor


async def everything(
    services: Services, caller: Caller, *, status: str = "", sweep: str = ""
) -> AsyncIterator[list[Run]]:
    """All scenarios in creation order, page by page, as they all were at one moment."""
    async for answer in pages(services, caller, _query(services, caller, status=status, sweep=sweep)):
        yield _known(answer)


def _query(services: Services, caller: Caller, *, status: str = "", algorithm: str = "", sweep: str = "") -> RunList:
    labels = {name: value for name, value in (("algorithm", algorithm), ("sweep", sweep)) if value}
    return RunList(
        workload=SCENARIO, dialect=SCENARIO, status=STATUSES.get(status, []), order="created_asc", limit=PAGE_LIMIT,
        labels=labels, at_least=seen_in(services, caller, 0),
    )  # fmt: skip


def _known(answer: Answer) -> list[Run]:
    return [run for run in _decode(answer.result or b"{}").items if run.known]


async def processing(services: Services, caller: Caller) -> Run | None:
    """The scenario that is executed now."""
    runs, _ = await page(services, caller, status="processing", limit=1)
    return runs[0] if runs else None

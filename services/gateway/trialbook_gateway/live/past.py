"""What happened to a run before a follower joined its channel: read from the projector, merged by time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from trialbook.asking import NatsAsk
from trialbook.codec import decode_event
from trialbook.domain.run.state import TERMINAL
from trialbook.errors import Invalid, TimedOut, Unavailable
from trialbook.queries import (
    PAGE_LIMIT,
    Answer,
    EventList,
    LogView,
    MetricPoint,
    Query,
    RunFacts,
    RunGet,
    RunLogs,
    RunMetrics,
)
from trialbook_gateway.live.items import Item, Position, ProgressView
from trialbook_gateway.live.reading import VERDICTS, fact_items, log_item, metric_item

WHOLE_MESSAGE = 0xFFFF
TRY_S = 2.5
PAUSE_S = 0.1


class View(msgspec.Struct):
    """The members of a RunView that following needs."""

    status: str
    sequence: int
    signal_sequence: int
    attempt: int = 0
    finished_at: str | None = None
    error: dict[str, Any] | None = None
    progress: ProgressView | None = None

    @property
    def over(self) -> bool:
        """Whether a verdict has been given."""
        return self.status in TERMINAL


class _FactRow(msgspec.Struct):
    sequence: int
    event: msgspec.Raw


class _FactPage(msgspec.Struct):
    items: list[_FactRow]
    next_cursor: Any = None


class _LogPage(msgspec.Struct):
    items: list[LogView]
    has_more: bool


class _MetricPage(msgspec.Struct):
    items: list[MetricPoint]
    next_cursor: Any = None


async def patiently(ask: NatsAsk, workspace: str, query: Query, timeout_s: float) -> Answer:
    """Ask again while the projector is away, behind or starting: a question to one that was killed is never answered.

    Raises ``Unavailable`` after ``timeout_s`` seconds.
    """
    deadline = asyncio.get_running_loop().time() + timeout_s
    while True:
        try:
            return await ask.ask(workspace, query, TRY_S)
        except (Unavailable, TimedOut):
            if asyncio.get_running_loop().time() > deadline:
                raise
            await asyncio.sleep(PAUSE_S)


class Past:
    """Reads one run's past; each question is repeated for up to ``timeout_s`` seconds."""

    def __init__(
        self, ask: NatsAsk, workspace: str, run: str, level: str, kinds: frozenset[str], timeout_s: float
    ) -> None:
        self._ask, self._workspace, self._run, self._timeout_s = ask, workspace, run, timeout_s
        self._level, self._kinds = level, kinds

    async def _answer(self, query: Query) -> Answer:
        return await patiently(self._ask, self._workspace, query, self._timeout_s)

    async def view(self, at_least: Position) -> tuple[View, Position]:
        """The run as it is, and the stream sequences up to which that is true. Raises ``NotFound``."""
        answer = await self._answer(RunGet(id=self._run, at_least=at_least.facts))
        view = msgspec.json.decode(answer.result or b"null", type=View)
        return view, Position(answer.facts, answer.signals)

    async def reachable(self, wanted: int, known: int) -> int:
        """``wanted``, or ``known`` when the stream of signals has lost its end and never reached ``wanted`` again."""
        if wanted <= known:
            return wanted
        try:
            await self._answer(RunLogs(id=self._run, limit=1, at_least_signals=wanted))
        except Invalid:
            return known
        return wanted

    async def facts(self, after: int, up_to: int) -> list[list[Item]]:
        """Groups of items, one group per fact, of the facts after ``after`` up to the run's last fact ``up_to``."""
        groups: list[list[Item]] = []
        while after < up_to:
            query = RunFacts(id=self._run, after=after, up_to=up_to, limit=PAGE_LIMIT, at_least=up_to)
            page = msgspec.json.decode((await self._answer(query)).result or b"null", type=_FactPage)
            for row in page.items:
                event = decode_event(row.event)
                final = row.sequence == up_to and event.type in VERDICTS
                groups.append(fact_items(row.sequence, event, final=final))
            if not page.items or page.next_cursor is None:
                break
            after = page.items[-1].sequence
        return groups

    async def signals(self, after: int, at_least: int) -> AsyncIterator[tuple[list[Item], int]]:
        """Pages of log and metric items in order, each with the cursor up to which everything has been given."""
        if not self._kinds & {"log", "metric"}:
            yield [], at_least << 16 | WHOLE_MESSAGE
            return
        while True:
            (logs, more_logs, logs_to), (metrics, more_metrics, metrics_to) = await asyncio.gather(
                self._logs(after, at_least), self._metrics(after, at_least)
            )
            bound = max(after, min(logs_to, metrics_to) << 16 | WHOLE_MESSAGE)
            if more_logs:
                bound = min(bound, logs[-1].signals)
            if more_metrics:
                bound = min(bound, metrics[-1].signals)
            items = sorted((i for i in (*logs, *metrics) if i.signals <= bound), key=lambda item: item.signals)
            after = bound
            yield items, bound
            if not more_logs and not more_metrics:
                return

    async def _logs(self, after: int, at_least: int) -> tuple[list[Item], bool, int]:
        if "log" not in self._kinds:
            return [], False, _NOTHING_ASKED
        query = RunLogs(id=self._run, after=after, limit=PAGE_LIMIT, level=self._level, at_least_signals=at_least)
        answer = await self._answer(query)
        page = msgspec.json.decode(answer.result or b"null", type=_LogPage)
        return [log_item(view) for view in page.items], page.has_more and bool(page.items), answer.signals

    async def _metrics(self, after: int, at_least: int) -> tuple[list[Item], bool, int]:
        if "metric" not in self._kinds:
            return [], False, _NOTHING_ASKED
        answer = await self._answer(RunMetrics(id=self._run, after=after, limit=PAGE_LIMIT, at_least_signals=at_least))
        page = msgspec.json.decode(answer.result or b"null", type=_MetricPage)
        more = page.next_cursor is not None and bool(page.items)
        return [metric_item(point) for point in page.items], more, answer.signals


_NOTHING_ASKED = 1 << 46


async def workspace_facts(
    ask: NatsAsk, workspace: str, query: EventList, timeout_s: float
) -> tuple[list[Item], int, bool]:
    """One page of a workspace's facts as items, the sequence up to which it is complete, and whether more follow."""
    answer = await patiently(ask, workspace, query, timeout_s)
    page = msgspec.json.decode(answer.result or b"null", type=_FactPage)
    items = [fact_items(row.sequence, decode_event(row.event), final=False)[-1] for row in page.items]
    more = page.next_cursor is not None and bool(page.items)
    return items, page.items[-1].sequence if more else answer.facts, more


def merged(groups: list[list[Item]], signals: list[Item], *, rest: bool) -> tuple[list[Item], list[list[Item]]]:
    """Signals with the facts that happened before each; with ``rest`` all remaining facts follow at the end."""
    found: list[Item] = []
    index = 0
    for item in signals:
        while index < len(groups) and groups[index][0].time <= item.time:
            found.extend(groups[index])
            index += 1
        found.append(item)
    if rest:
        for group in groups[index:]:
            found.extend(group)
        return found, []
    return found, groups[index:]

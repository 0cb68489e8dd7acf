"""Status and progress of scenarios, made of the live hub's items, in this API's words."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal

import msgspec

from trialbook.domain.run import events as e
from trialbook.domain.run.state import TERMINAL, Status
from trialbook.errors import Refusal
from trialbook.queries import EventList
from trialbook.tasks import ended
from trialbook_gateway.dialects.algomancy import shape
from trialbook_gateway.dialects.algomancy.ids import shown
from trialbook_gateway.dialects.algomancy.scenarios import Scenarios
from trialbook_gateway.dialects.algomancy.shape import SCENARIO, Run
from trialbook_gateway.live.facts import FactsFollower
from trialbook_gateway.live.follower import RunFollower, TooSlow
from trialbook_gateway.live.items import FactView, Item, Position, ProgressView
from trialbook_gateway.live.reading import STATUSES
from trialbook_gateway.services import Caller, Services

log = logging.getLogger(__name__)
KINDS = ("status", "progress", "fact")
DELETED = "deleted"
AFTER: dict[str, str] = {**STATUSES, e.Reset.TYPE: "created"}
"""The run's status after each fact that changes it."""
REMEMBERED = 4096
WAITING_BATCHES = 64


class _Verdict(msgspec.Struct):
    result: Any = None
    error: dict[str, Any] | None = None


class _Queued(msgspec.Struct):
    turn: bool = False


class _Spec(msgspec.Struct):
    workload: str
    name: str | None = None
    dialect: str = "native"


class _Ordered(msgspec.Struct):
    spec: _Spec


class Known(msgspec.Struct):
    """What has been told of a scenario."""

    tag: str | None
    status: str = ""
    progress: float = 0.0


_verdict = msgspec.json.Decoder(_Verdict).decode
_queued = msgspec.json.Decoder(_Queued).decode
_ordered = msgspec.json.Decoder(_Ordered).decode


def _item(kind: Literal["status", "progress"], run: str, known: Known, facts: int = 0, signals: int = 0) -> Item:
    value = {"id": shown(run), "tag": known.tag, "status": known.status, "progress": known.progress}
    return Item(kind, value, facts=facts, signals=signals)


def changed(run: str, known: Known, fact: FactView) -> Item | None:
    """The new status; None when the fact does not change it."""
    after = AFTER.get(fact.event.type)
    if after is None or (fact.event.type == e.Queued.TYPE and _queued(fact.event.data).turn):
        return None
    status = DELETED if after == DELETED else shape.STATUS[_status(after)]
    if status == known.status:
        return None
    known.status = status
    if after in ("completed", "failed"):
        said = _verdict(fact.event.data)
        verdict = said.result if after == "completed" else said.error
        known.progress = float(verdict.get("progress", 0.0)) if isinstance(verdict, dict) else 0.0
    elif status in ("created", "queued", "processing"):
        known.progress = 0.0
    return _item("status", run, known, facts=fact.sequence)


def _status(name: str) -> Status:
    status: Status = msgspec.convert(name, Status)
    return status


def advanced(run: str, known: Known, item: Item) -> Item | None:
    """The progress when it has become more; None for a late signal."""
    assert isinstance(item.value, ProgressView), "progress items hold progress"
    if known.status not in ("", "processing") or item.value.done <= known.progress:
        return None
    known.status, known.progress = "processing", item.value.done
    return _item("progress", run, known, signals=item.signals)


class ScenarioFollower:
    """One scenario up to the end of its execution; what is read afterwards is at least as new as what was told."""

    def __init__(self, services: Services, caller: Caller, scenarios: Scenarios, inner: RunFollower, run: Run) -> None:
        self._services, self._caller, self._scenarios = services, caller, scenarios
        self._inner, self._run = inner, run
        self._known = Known(run.name)

    async def batches(self, idle_s: float) -> AsyncIterator[list[Item]]:
        """Items in order until the scenario has ended; an empty batch after ``idle_s`` seconds without any."""
        async for batch in self._inner.batches(idle_s):
            if batch and batch[-1].final:
                yield [*self._shown(batch), await self._final(batch[-1])]
                return
            found = self._shown(batch)
            if found or not batch:
                yield found

    @property
    def position(self) -> Position:
        """Where it began, or the last item that was handed out."""
        return self._inner.position

    def cursor_after(self, item: Item) -> str:
        """The cursor to resume after an item that is being handed out."""
        return self._inner.cursor_after(item)

    def _shown(self, batch: list[Item]) -> list[Item]:
        found = []
        for item in batch:
            if isinstance(item.value, FactView):
                if AFTER.get(item.value.event.type) in (*TERMINAL, DELETED):
                    continue  # an end may be followed by another beginning; the last one is told by `_final`
                new = changed(self._run.id, self._known, item.value)
            else:
                new = advanced(self._run.id, self._known, item) if item.kind == "progress" else None
            if new is not None:
                found.append(new)
                self._services.wrote(self._caller.aggregate("run", self._run.id), new.facts)
        return found

    async def _final(self, last: Item) -> Item:
        sequence = last.value.sequence
        known = Known(self._run.name, DELETED, self._known.progress)
        if last.value.status != DELETED:
            run = await self._scenarios.find(self._caller, self._run.id, sequence)
            known = Known(run.name, shape.status_of(run), shape.progress_of(run))
        return _item("status", self._run.id, known, facts=sequence)


class SessionFollower:
    """All scenarios of a session, without end. Of the one that is processed also the progress."""

    def __init__(self, services: Services, caller: Caller, facts: FactsFollower) -> None:
        self._services, self._caller, self._facts = services, caller, facts
        self._known: OrderedDict[str, Known | None] = OrderedDict()
        self._queue: asyncio.Queue[list[Item] | tuple[str, Item] | Exception] = asyncio.Queue(WAITING_BATCHES)
        self._pump: asyncio.Task[None] | None = None
        self._progress: asyncio.Task[None] | None = None
        self._processed = ""
        self._first: list[Item] = []

    def begin(self, active: Sequence[Run], *, told: bool) -> None:
        """Start with the scenarios that are queued or processed; ``told``: without telling what the client knows."""
        for run in active:
            known = self._known[run.id] = Known(run.name, shape.status_of(run), shape.progress_of(run))
            if not told:
                self._first.append(_item("status", run.id, known))
            if known.status == "processing":
                self._process(run.id)

    async def batches(self, idle_s: float) -> AsyncIterator[list[Item]]:
        """Items in order; an empty batch after ``idle_s`` seconds without any. Raises ``TooSlow``, ``Unavailable``."""
        if self._first:
            yield self._first
        self._pump = asyncio.create_task(self._pump_facts(idle_s), name="algomancy-session-facts")
        while True:
            found = await self._queue.get()
            if isinstance(found, Exception):
                raise found
            if isinstance(found, tuple):
                run, item = found
                known = self._known.get(run)
                new = None if known is None else advanced(run, known, item)
                if new is not None:
                    new.signals = 0  # of another stream than this one's cursor
                    yield [new]
                continue
            shown_ = [new for item in found if (new := await self._told(item)) is not None]
            if shown_ or not found:
                yield shown_

    @property
    def position(self) -> int:
        """Where it began, or the last fact that was handed out: a ledger sequence."""
        return self._facts.position

    def cursor_after(self, item: Item) -> str:
        """The cursor (a ledger sequence) to resume after an item that is being handed out."""
        return self._facts.cursor_after(item)

    async def close(self) -> None:
        """Stop following."""
        await ended(self._pump, self._progress)

    async def _pump_facts(self, idle_s: float) -> None:
        try:
            async for batch in self._facts.batches(idle_s):
                await self._queue.put(batch)
        except Exception as error:  # noqa: BLE001 -- raised where the stream is served
            await self._queue.put(error)

    async def _told(self, item: Item) -> Item | None:
        fact: FactView = item.value
        run = fact.event.subject.rsplit("/", 1)[-1]
        known = await self._find(run, fact)
        new = None if known is None else changed(run, known, fact)
        if known is None or new is None:
            return None
        if known.status == "processing":
            self._process(run)
        elif run == self._processed and self._progress is not None:
            self._progress.cancel()
        self._services.wrote(self._caller.aggregate("run", run), fact.sequence)
        return new

    async def _find(self, run: str, fact: FactView) -> Known | None:
        """What is known of a scenario; None for other runs."""
        if run not in self._known:
            if fact.event.type in (e.Submitted.TYPE, e.Created.TYPE):
                spec: Any = _ordered(fact.event.data).spec
            else:  # it began before this stream, and may be deleted by now
                spec = (await self._services.handler.load(self._caller.aggregate("run", run))).state.spec
            ours = spec is not None and spec.workload == spec.dialect == SCENARIO
            self._known[run] = Known(spec.name) if ours else None
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return self._known[run]

    def _process(self, run: str) -> None:
        if self._progress is not None:
            self._progress.cancel()
        self._processed = run
        self._progress = asyncio.create_task(self._pump_progress(run), name="algomancy-session-progress")

    async def _pump_progress(self, run: str) -> None:
        hub, settings = self._services.hub, self._services.settings
        try:
            async with hub.follow_run(self._caller.workspace, run, kinds=("progress",)) as follower:
                async for batch in follower.batches(settings.live_keepalive_s):
                    if signals := [item for item in batch if item.kind == "progress"]:
                        await self._queue.put((run, signals[-1]))
        except (Refusal, TooSlow) as error:  # the status is told in any case, with the progress reached
            log.info("progress of %s is not followed any more: %s", run, error)


@asynccontextmanager
async def following_scenario(
    services: Services, caller: Caller, scenarios: Scenarios, run: Run, position: Position
) -> AsyncIterator[ScenarioFollower]:
    """A follower of one scenario after ``position``. Raises ``NotFound``."""
    hub = services.hub
    async with hub.follow_run(caller.workspace, run.id, position=position, kinds=KINDS) as inner:
        yield ScenarioFollower(services, caller, scenarios, inner, run)


@asynccontextmanager
async def following_session(
    services: Services, caller: Caller, active: Sequence[Run], after: int, *, told: bool
) -> AsyncIterator[SessionFollower]:
    """A follower of a session's scenarios after a ledger sequence."""
    query = EventList(after=after, kind="run", types=list(AFTER))
    async with services.hub.follow_facts(caller.workspace, query) as facts:
        follower = SessionFollower(services, caller, facts)
        follower.begin(active, told=told)
        try:
            yield follower
        finally:
            await follower.close()

"""One client's way through a run: the past from the projector, then the shared channel, then the final status."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from trialbook.errors import NotFound, Refusal
from trialbook_gateway.live.channel import Channel
from trialbook_gateway.live.items import Item, Position, Status
from trialbook_gateway.live.past import Past, View, merged
from trialbook_gateway.live.ring import Entry

ENTRIES_AT_ONCE = 128


class TooSlow(Exception):
    """The client fell further behind than is kept for it; it may resume from its last cursor."""


class RunFollower:
    """Hands out items in batches. ``position`` is that of the last item passed to ``cursor_after``."""

    def __init__(
        self, channel: Channel, past: Past, run: str, position: Position, kinds: frozenset[str], level: int, lag: int,
        told: Callable[[int], None],
    ) -> None:  # fmt: skip
        """``told`` hears of each ledger sequence that is handed out."""
        self._channel, self._past, self._run, self._told = channel, past, run, told
        self._kinds, self._level, self._lag = kinds, level, lag
        self.position = position
        self._reached = position
        """How far items have been collected, handed out or not wanted."""
        self._index = 0
        self._generation = -1
        self._first: tuple[View, Position] | None = None
        self._progress_to = 0
        """Up to which signal progress is told by the view that was read."""

    async def open(self) -> None:
        """Raises ``NotFound`` when there is no such run."""
        self._first = await self._past.view(await self._channel.barrier())

    async def batches(self, idle_s: float) -> AsyncIterator[list[Item]]:
        """Items in order until the final status; an empty batch after ``idle_s`` seconds without any.

        Raises ``TooSlow``, and ``Unavailable`` when no projector can tell the past.
        """
        while True:
            async for batch in self._catch_up():
                if batch:
                    yield batch
                    if batch[-1].final:
                        return
            while self._generation == self._channel.generation:
                found = self._next_items()
                if found is None:
                    if not await self._channel.changed(idle_s) or self._channel.stopping:
                        yield []
                    continue
                batch = self._wanted(found)
                if batch:
                    yield batch
                    if batch[-1].final:
                        return

    def cursor_after(self, item: Item) -> str:
        """Note that ``item`` is being handed out; the cursor to resume after it."""
        if item.reached:
            self._told(item.reached)
        here = self.position
        if item.facts > here.facts or item.signals > here.signals:
            self.position = Position(max(here.facts, item.facts), max(here.signals, item.signals))
        return str(self.position)

    def _next_items(self) -> list[Item] | None:
        """What the ring holds beyond ``_reached``; None when there is no further entry."""
        channel, at = self._channel, self._reached
        if self._index < channel.base or channel.end - self._index > self._lag:
            raise TooSlow
        entries = channel.since(self._index, ENTRIES_AT_ONCE)
        if not entries:
            return None
        self._index += len(entries)
        fresh = [entry for entry in entries if entry.facts > at.facts or _end(entry) > at.signals]
        if not fresh:
            return []
        self._reached = Position(
            max(at.facts, *(entry.facts for entry in fresh)), max(at.signals, *(_end(entry) for entry in fresh))
        )
        # A client may come back in the middle of a message; only the rest of it is new to it.
        return [item for entry in fresh for item in entry.items if not entry.signals or item.signals > at.signals]

    def _wanted(self, items: list[Item]) -> list[Item]:
        return [item for item in items if item.final or self._is_wanted(item)]

    def _is_wanted(self, item: Item) -> bool:
        if item.kind not in self._kinds:
            return False
        if item.kind == "progress":  # one from before the latest that was told would go back
            return not item.signals or item.signals >> 16 > self._progress_to
        return item.kind != "log" or item.level >= self._level

    async def _catch_up(self) -> AsyncIterator[list[Item]]:
        """Everything between ``_reached`` and the channel's ring."""
        while True:
            self._generation = self._channel.generation
            barrier = await self._channel.barrier()
            try:
                view, known = self._first or await self._past.view(barrier)
            except NotFound as gone:
                yield [self._gone(gone)]
                return
            if known.facts < barrier.facts:
                self._first = None
                continue
            self._first = None
            self._channel.owned_by(view.attempt)
            self._progress_to = known.signals
            async for batch in self._history(view, known.facts, barrier):
                yield self._wanted(batch)
                if batch and batch[-1].final:
                    return
            if self._joined():
                return

    async def _history(self, view: View, known: int, barrier: Position) -> AsyncIterator[list[Item]]:
        groups = await self._past.facts(self._reached.facts, view.sequence)
        last = [groups.pop()] if view.over and groups else []
        signals = barrier.signals
        if view.over:
            signals = await self._past.reachable(view.signal_sequence, barrier.signals)
        async for items, bound in self._past.signals(self._reached.signals, signals):
            batch, groups = merged(groups, items, rest=False)
            yield batch
            self._reached = Position(self._reached.facts, max(self._reached.signals, bound))
        batch, _ = merged([*groups, *last], [], rest=True)
        if view.progress is not None and not view.over:
            batch.append(Item("progress", view.progress, time=view.progress.time))
        self._reached = Position(max(self._reached.facts, known), self._reached.signals)
        if view.over and not (batch and batch[-1].final):
            batch.append(self._final(view))
        yield batch

    def _joined(self) -> bool:
        channel = self._channel
        if self._generation != channel.generation:
            return False
        if self._reached.facts < channel.floor_facts or self._reached.signals >> 16 < channel.floor_signals:
            return False  # what is missing has left the ring already: read on
        self._index = channel.base
        return True

    def _final(self, view: View) -> Item:
        status = Status(
            run=self._run,
            status=view.status,
            final=True,
            sequence=view.sequence,
            time=view.finished_at,
            attempt=view.attempt,
            error=view.error,
        )
        return Item("status", status)

    def _gone(self, gone: Refusal) -> Item:
        if self._reached == Position():
            raise gone
        status = Status(run=self._run, status="deleted", final=True, sequence=self._reached.facts, time=None)
        return Item("status", status)


def _end(entry: Entry) -> int:
    return entry.signals << 16 | 0xFFFF if entry.signals else 0

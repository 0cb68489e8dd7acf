"""Watching runs live, over server-sent events, without repeating or missing a line."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from typing import Any, Literal

import msgspec

from trialbook.client.feed import feed
from trialbook.client.resource import Resource
from trialbook.client.results import Fact
from trialbook.client.sse import ServerEvent
from trialbook.errors import Unavailable
from trialbook.queries import LogView, MetricPoint

Kind = Literal["log", "metric", "progress", "fact", "status"]


class ProgressView(msgspec.Struct, frozen=True, kw_only=True):
    """How far a run is: ``done`` of ``total`` (0: unknown) in ``unit``; ``time`` RFC 3339."""

    time: str
    done: float
    total: float = 0.0
    unit: str = ""
    message: str = ""
    step: str | None = None


class StatusView(msgspec.Struct, frozen=True, kw_only=True):
    """A run's status has changed; ``final``: nothing follows. ``error`` is the verdict's, if it failed."""

    run: str
    status: str
    final: bool
    sequence: int
    time: str
    attempt: int = 0
    error: dict[str, Any] | None = None


Update = LogView | MetricPoint | ProgressView | StatusView | Fact
LOGS: tuple[Kind, ...] = ("log",)
TYPES: dict[str, type[Any]] = {
    "log": LogView, "metric": MetricPoint, "progress": ProgressView, "status": StatusView, "fact": Fact,
}  # fmt: skip


class Message(msgspec.Struct):
    """One message of a live stream; ``cursor`` resumes after it."""

    type: str
    cursor: str
    data: msgspec.Raw


_message = msgspec.json.Decoder(Message).decode


class Following(Resource):
    """Live streams of one run."""

    async def follow(
        self, run: str, *, after: str = "", kinds: Collection[Kind] = ("log", "metric", "progress"), level: str = ""
    ) -> AsyncIterator[Update]:
        """What a run says, from its beginning (or ``after`` a cursor of the stream) to its verdict.

            async for update in client.runs.follow(run.id, kinds=("log", "progress")):
                ...

        It is a ``LogView``, ``MetricPoint``, ``ProgressView``, ``StatusView`` or ``Fact``; a status change is always
        given, log lines from ``level`` upwards. Lost connections and restarts of the service are bridged: every record
        comes once and in order.
        """
        query = {"kinds": sorted({*kinds, "status"}), "level": level}
        newest = 0
        async for event in feed(self._transport, f"/v1/runs/{run}/stream", query, last_id=after):
            update = update_of(event)
            if isinstance(update, LogView | MetricPoint):
                if update.cursor <= newest:
                    continue
                newest = update.cursor
            if isinstance(update, StatusView | Fact):
                self._transport.saw(update.sequence)
            if update is not None:
                yield update
            if isinstance(update, StatusView) and update.final:
                return

    async def follow_logs(self, run: str, *, after: int = 0, level: str = "") -> AsyncIterator[LogView]:
        """A run's log lines, those there are and then live until it ends; ``after`` is a line's ``cursor``."""
        async for update in self.follow(run, after=f"0-{after}" if after else "", kinds=LOGS, level=level):
            if isinstance(update, LogView):
                yield update

    @staticmethod
    def kind_of(update: Update) -> str:
        """Its kind by name: log, metric, progress, status or fact."""
        return next(kind for kind, class_ in TYPES.items() if isinstance(update, class_))


def update_of(event: ServerEvent) -> Update | None:
    """The typed content of an event; None for a kind that this version does not know."""
    class_ = TYPES.get(event.event)
    if class_ is None:
        return None
    try:
        update: Update = msgspec.json.decode(_message(event.data).data, type=class_)
    except msgspec.MsgspecError as error:
        raise Unavailable("unexpected_reply", f"A live message cannot be read by this client: {error}") from error
    return update

"""Children of a run that is cancelled are cancelled, also when nobody executes it then who could see to it.

A run at rest, or one whose runner was lost, is cancelled without its workload hearing of it. So whoever is there
follows the verdicts: one durable consumer for all runners hands each of them to one.
"""

from __future__ import annotations

import asyncio
import logging

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg

from trialbook import subjects
from trialbook.asking import NatsAsk
from trialbook.clock import Clock
from trialbook.codec import decode_event
from trialbook.domain.run import commands as c
from trialbook.envelope import AggregateId, Event, Metadata
from trialbook.errors import Conflict, NotFound, TimedOut, Unavailable
from trialbook.handle import Handler
from trialbook.log.api import ApiError, call_until_ready
from trialbook.queries import PAGE_LIMIT, Page, RunList
from trialbook.streams import FACTS, NANO
from trialbook_runner.entry import ACK, PROGRESS, nak
from trialbook_runner.pull import Puller

log = logging.getLogger(__name__)
CONSUMER = "orphans"
ACTIVE = ["created", "queued", "running", "paused"]
SLOTS = 8
"""Verdicts that one runner handles at a time."""
TICK_S, RETRY_S = 0.5, 5.0
ACK_WAIT_S = 6.0
"""A verdict that was handed to a runner which died is handed to another one then."""
BEAT_EVERY = 100
"""Children cancelled between two signs of life."""
_page = msgspec.json.Decoder(Page).decode


class Orphans:
    """``run`` follows for ever. ``handler`` cancels; the projector says who the children are."""

    def __init__(self, nc: Client, handler: Handler, clock: Clock, source: str) -> None:
        self._nc, self._handler, self._source = nc, handler, source
        self._ask = NatsAsk(nc)
        self._puller = Puller(nc, CONSUMER, self._on_message, clock)
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Take verdicts as there is room, for ever."""
        await self._ensure()
        await self._puller.start()
        try:
            while True:
                self._puller.changed.clear()
                await self._fill()
                try:
                    async with asyncio.timeout(TICK_S):
                        await self._puller.changed.wait()
                except TimeoutError:
                    continue
        finally:
            for task in self._tasks:
                task.cancel()

    async def _fill(self) -> None:
        room = SLOTS - len(self._tasks)
        if not self._nc.is_connected or room <= 0 or self._puller.outstanding:
            return
        if self._puller.failed:
            try:
                await self._ensure()
            except (Unavailable, ApiError) as error:
                log.warning("orphans: %s", error)
                return
            self._puller.failed = False
        await self._puller.ask(room)

    async def _ensure(self) -> None:
        config = {
            "durable_name": CONSUMER, "filter_subject": subjects.facts_of(kind="run", name="cancelled"),
            # What was cancelled before there was any runner has no children.
            "deliver_policy": "new", "ack_policy": "explicit", "ack_wait": int(ACK_WAIT_S * NANO), "max_deliver": -1,
        }  # fmt: skip
        body = {"stream_name": FACTS, "config": config}
        await call_until_ready(self._nc, f"CONSUMER.DURABLE.CREATE.{FACTS}.{CONSUMER}", body)

    async def _on_message(self, message: Msg) -> None:
        task = asyncio.create_task(self._handle(message))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._puller.changed.set()
        if not task.cancelled() and task.exception() is not None:
            log.error("orphans: a verdict was not handled", exc_info=task.exception())

    async def _handle(self, message: Msg) -> None:
        _, workspace, _, id_, *_ = message.subject.split(".")
        sequence = int(message.reply.split(".")[-4])
        try:
            await self._cancel_children(AggregateId(workspace, "run", id_), sequence, message)
        except (Unavailable, TimedOut) as error:
            log.debug("orphans of %s: %s; trying again", id_, error.detail)
            await self._nc.publish(message.reply, nak(RETRY_S))
        else:
            await self._nc.publish(message.reply, ACK)

    async def _cancel_children(self, parent: AggregateId, sequence: int, message: Msg) -> None:
        meta = self._caused_by(parent, decode_event(message.data))
        cursor: str | None = ""
        while cursor is not None:
            query = RunList(
                parent=parent.id, status=ACTIVE, at_least=sequence, limit=PAGE_LIMIT, cursor=cursor, brief=True
            )
            page = _page((await self._ask.ask(parent.workspace, query)).result or b"{}")
            cursor = None if page.next_cursor is None else str(page.next_cursor)
            if page.items and (await self._handler.load(parent)).state.status != "cancelled":
                return  # it was queued again: the children are its own business
            for number, child in enumerate(page.items):
                if number % BEAT_EVERY == 0:
                    await self._nc.publish(message.reply, PROGRESS)
                await self._cancel(AggregateId(parent.workspace, "run", str(child["id"])), meta, sequence)

    def _caused_by(self, parent: AggregateId, end: Event) -> Metadata:
        return Metadata(
            source=self._source, actor=f"run:{parent.id}", correlation=end.correlationid or end.id, causation=end.id,
            traceparent=end.traceparent,
        )  # fmt: skip

    async def _cancel(self, child: AggregateId, meta: Metadata, sequence: int) -> None:
        command = c.RequestCancel(reason="cancelled with its parent run", command_id=f"parent-{sequence}")
        try:
            await self._handler.handle(child, command, meta)
        except (Conflict, NotFound) as refusal:
            log.debug("child %s: %s", child.id, refusal.detail)

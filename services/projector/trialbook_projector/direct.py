"""``run.get``, ``run.logs`` and what nobody else answers, with nats-py directly.

``run.get`` is most of what is asked: clients repeat it until their run is finished. Its answer is nearly always in
memory, so it is given in the callback of the subscription, without a task: 13 us of CPU time at 23,000 questions a
second. Through FastStream the same question took 215 us at 2,500 a second (docs/decisions/0007-faststream.md), which
would also be a tenth of the cost of a page of log lines, the second most asked.

The subscription takes every subject of a question, because NATS tells an asker only that nobody listens, not that there
is no such query. What FastStream serves is left to it.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from trialbook import subjects
from trialbook.asking import MEDIA_TYPE
from trialbook.errors import Refusal
from trialbook.queries import Query, RunGet
from trialbook_projector.answer import Answering, Reply, decode
from trialbook_projector.questions import DIRECT_GROUP, SERVED

log = logging.getLogger(__name__)


class Direct:
    """Subscribes to all questions, sharing them with other projectors of the same ledger."""

    def __init__(self, nc: Client, answering: Answering) -> None:
        self._nc, self._answering = nc, answering
        self._tasks: set[asyncio.Task[None]] = set()  # those beyond Answering's bound end at once
        self._subscription: Subscription | None = None

    async def start(self) -> None:
        """Begin to answer."""
        self._subscription = await self._nc.subscribe(subjects.ASKS_ALL, queue=DIRECT_GROUP, cb=self._on_message)

    async def stop(self, timeout_s: float) -> None:
        """Take no more questions and answer those that are here."""
        if self._subscription is not None:
            await self._subscription.drain()  # type: ignore[no-untyped-call] # nats-py has no types here
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_s)

    async def _on_message(self, message: Msg) -> None:
        workspace, name = subjects.asked(message.subject)
        if name in SERVED or not message.reply:
            return
        try:
            query = decode(name, message.data)
            quick = self._answering.from_memory(workspace, query) if isinstance(query, RunGet) else None
        except Refusal as refusal:
            quick = self._answering.refused(refusal)
        else:
            if quick is None:
                task = asyncio.create_task(self._in_time(message, workspace, query))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
                return
        await self._send(message, quick)

    async def _in_time(self, message: Msg, workspace: str, query: Query) -> None:
        answer = partial(self._answering.answer, workspace, query)
        await self._send(message, await self._answering.guarded(message.subject, answer))

    async def _send(self, message: Msg, reply: Reply) -> None:
        headers = {MEDIA_TYPE: reply.media_type} if reply.media_type else None
        try:
            await self._nc.publish(message.reply, reply.payload, headers=headers)
        except nats.errors.Error as error:  # the asker repeats its question after a reconnect
            log.warning("could not send an answer to %s: %s", message.subject, error)

"""Hears what users ask for on NATS and answers each of it: in turn, bounded, and whatever is sent."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import msgspec
import nats.errors
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from trialbook import subjects
from trialbook.errors import NotFound, Refusal
from trialbook.ids import SLUG
from trialbook_gateway.direct.fair_queue import Bounds, FairQueue
from trialbook_gateway.limits import too_large
from trialbook_gateway.problems import STATUS, internal, status_of
from trialbook_gateway.services import Services

log = logging.getLogger(__name__)
QUEUE_GROUP = "gateway"
DRAIN_S = 5.0
_KINDS = {status: kind for kind, status in STATUS.items()}


class Asked(msgspec.Struct, frozen=True):
    """A message; ``user`` was put into its subject by the server. ``name``: the verb or query."""

    workspace: str
    user: str
    name: str
    message: Msg


class Answered(msgspec.Struct, frozen=True):
    """What goes back."""

    payload: bytes
    headers: dict[str, str] | None = None


Answer = Callable[[Services, Asked], Awaitable[Answered]]


class Desk:
    """One subscription, shared with the other gateways; ``answer`` may raise refusals."""

    def __init__(self, services: Services, subject: str, bounds: Bounds, answer: Answer) -> None:
        self._services, self._subject, self._answer = services, subject, answer
        self._queue = FairQueue(bounds)
        self._subscription: Subscription | None = None

    async def start(self) -> None:
        """Begin to hear; after the services have started."""
        self._subscription = await self._services.nc.subscribe(self._subject, queue=QUEUE_GROUP, cb=self._on_message)

    async def close(self) -> None:
        """Hear no more, and finish what was taken, for at most ``DRAIN_S`` seconds."""
        if self._subscription is not None and self._services.nc.is_connected:
            await self._subscription.unsubscribe()
        await self._queue.drain(DRAIN_S)

    async def _on_message(self, message: Msg) -> None:
        if not message.reply:  # nobody would learn what came of it
            return
        workspace, user, name = subjects.from_user(message.subject)
        size, limit = len(message.data), self._services.settings.max_body_bytes
        try:
            if not (SLUG.fullmatch(workspace) and SLUG.fullmatch(user)):
                raise NotFound("workspace_not_found", "There is no such workspace.")
            if size > limit:
                raise too_large(limit)
            self._queue.offer(user, size, partial(self._serve, Asked(workspace, user, name, message)))
        except Refusal as refusal:
            await self._send(message, refused(refusal))

    async def _serve(self, asked: Asked) -> None:
        try:
            answered = await self._answer(self._services, asked)
        except Refusal as refusal:
            answered = refused(refusal)
        except Exception as error:
            log.exception("could not answer %s", asked.message.subject)
            answered = refused(internal(error))
        await self._send(asked.message, answered)

    async def _send(self, message: Msg, answered: Answered) -> None:
        try:
            await self._services.nc.publish(message.reply, answered.payload, headers=answered.headers)
        except nats.errors.Error as error:  # what was done stays done; its idempotency key finds it again
            log.warning("could not send an answer to %s: %s", message.subject, error)


def refused(refusal: Refusal) -> Answered:
    """A refusal as an answer, with the kinds of the contract whatever HTTP makes of it."""
    kind = _KINDS.get(status_of(refusal), "unavailable" if status_of(refusal) >= 500 else "invalid")
    error: dict[str, Any] = {"kind": kind, "code": refusal.code, "detail": refusal.detail, "extra": refusal.extra}
    return Answered(msgspec.json.encode({"error": error}))

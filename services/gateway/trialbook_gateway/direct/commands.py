"""Hears commands on NATS and answers each: bounded, and whatever is sent."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

import msgspec
import nats.errors
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from starlette.datastructures import Headers

from trialbook import subjects
from trialbook.errors import NotFound, Refusal, TooLarge, Unavailable
from trialbook.ids import SLUG
from trialbook.outside import actor
from trialbook_gateway.auth import Principal
from trialbook_gateway.direct.verbs import VERBS, Carried, Command
from trialbook_gateway.problems import STATUS, internal, status_of
from trialbook_gateway.request_id import HEADER as REQUEST_ID
from trialbook_gateway.request_id import request_id_of, traceparent_of
from trialbook_gateway.services import Caller, Services
from trialbook_gateway.strictjson import parse

log = logging.getLogger(__name__)
QUEUE_GROUP = "gateway"
MAX_OPEN = 256
"""Commands being carried out at once; who sends more is refused."""
DRAIN_S = 5.0
_KINDS = {status: kind for kind, status in STATUS.items()}


class Commands:
    """The subscription, shared with the other gateways. The user in the subject was put there by the server."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._tasks: set[asyncio.Task[None]] = set()  # at most MAX_OPEN
        self._subscription: Subscription | None = None

    async def start(self) -> None:
        """Begin to hear; after the services have started."""
        nc = self._services.nc
        self._subscription = await nc.subscribe(subjects.COMMANDS_ALL, queue=QUEUE_GROUP, cb=self._on_message)

    async def close(self) -> None:
        """Hear no more, and finish what was begun, for at most ``DRAIN_S`` seconds."""
        if self._subscription is not None and self._services.nc.is_connected:
            await self._subscription.unsubscribe()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=DRAIN_S)

    async def _on_message(self, message: Msg) -> None:
        if not message.reply:  # nobody would learn what came of it
            return
        if len(self._tasks) >= MAX_OPEN:
            refusal = Unavailable("overloaded", "Too many commands at once; try again.")
            await self._send(message, refused(refusal))
            return
        task = asyncio.create_task(self._answer(message))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, message: Msg) -> None:
        try:
            reply = msgspec.json.encode(await self._carry_out(message))
        except Refusal as refusal:
            reply = refused(refusal)
        except Exception as error:
            log.exception("could not carry out %s", message.subject)
            reply = refused(internal(error))
        await self._send(message, reply)

    async def _carry_out(self, message: Msg) -> Carried:
        workspace, user, name = subjects.commanded(message.subject)
        services, limit = self._services, self._services.settings.max_body_bytes
        if not (SLUG.fullmatch(workspace) and SLUG.fullmatch(user)):
            raise NotFound("workspace_not_found", "There is no such workspace.")
        verb = VERBS.get(name)
        if verb is None:
            raise NotFound("unknown_command", f"There is no command {name[:80]!r}; there are {', '.join(VERBS)}.")
        if len(message.data) > limit:
            raise TooLarge("body_too_large", f"At most {limit} bytes are accepted here.", max_bytes=limit)
        headers = Headers({key: value for key, value in (message.headers or {}).items() if _plain(key, value)})
        caller = self._caller(workspace, user, headers)
        services.must_be_intact()
        await services.workspaces.require(workspace)
        body = parse(message.data or b"{}")
        return await verb.carry_out(services, Command(caller, user, headers, body))

    def _caller(self, workspace: str, user: str, headers: Mapping[str, str]) -> Caller:
        request_id = request_id_of(headers.get(REQUEST_ID, "").encode()) or self._services.ids.new()
        principal = Principal(actor(user), frozenset({workspace}))
        return Caller(principal, workspace, request_id, traceparent_of(headers.get("traceparent", "").encode()))

    async def _send(self, message: Msg, reply: bytes) -> None:
        try:
            await self._services.nc.publish(message.reply, reply)
        except nats.errors.Error as error:  # what was done stays done; its idempotency key finds it again
            log.warning("could not send an answer to %s: %s", message.subject, error)


def refused(refusal: Refusal) -> bytes:
    """A refusal as an answer, with the kinds of the contract whatever HTTP makes of it."""
    kind = _KINDS.get(status_of(refusal), "unavailable" if status_of(refusal) >= 500 else "invalid")
    error: dict[str, Any] = {"kind": kind, "code": refusal.code, "detail": refusal.detail, "extra": refusal.extra}
    return msgspec.json.encode({"error": error})


def _plain(key: Any, value: Any) -> bool:
    """Whether a header is text that HTTP headers could be as well."""
    return isinstance(key, str) and isinstance(value, str) and key.isascii() and _latin(value)


def _latin(value: str) -> bool:
    return all(ord(character) < 256 for character in value)

"""Create, list and delete the consumers of users from outside. Only the services' account can."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from nats.aio.client import Client

from trialbook import subjects
from trialbook.answers import Page
from trialbook.asking import NatsAsk
from trialbook.errors import Conflict, Invalid, NotFound
from trialbook.log.api import ApiError, call
from trialbook.outside import SLOTS, STREAMS, Pace, Slot, Start, StreamName, consumer, durable, filter_of
from trialbook.queries import EventList
from trialbook.streams import FACTS
from trialbook.times import parse_moment, rfc3339

CONSUMER_NOT_FOUND = 10014
CONSUMER_EXISTS = (10012, 10013, 10148, 10149)
SINCE = "trialbook.since"
MADE = frozenset({"metadata", "deliver_policy", "opt_start_seq"})
"""What follows from ``since``."""
ASK_S = 5.0


class ConsumerView(msgspec.Struct, frozen=True, kw_only=True):
    """A consumer as its user sees it. ``pull`` is where it is asked for messages; numbers count messages.

    ``delivered`` is the stream sequence of the last message given out, ``acknowledged`` the one up to which all were
    acknowledged.
    """

    name: Slot
    stream: StreamName
    consumer: str
    filter: str
    pull: str
    delivered: int
    acknowledged: int
    pending: int
    unacknowledged: int


class Consumers:
    """The consumers of one user of one workspace."""

    def __init__(self, nc: Client, user: str, workspace: str) -> None:
        self._nc, self._user, self._workspace = nc, user, workspace

    async def create(
        self, slot: Slot, stream: StreamName, filter_: str = "", start: Start | None = None, pace: Pace | None = None
    ) -> ConsumerView:
        """A new consumer, or the present one when it was made in the same way.

        ``since`` is a time of facts as they tell it themselves, which is proven; of signals that of their storing.

        Raises ``Conflict`` (code ``consumer_exists``), ``Invalid`` (``invalid_filter``, ``invalid_start``, ...).
        """
        start = start or Start()
        if start.after is not None and start.since:
            raise Invalid("invalid_start", "Give after or since, not both.")
        if start.since:
            start = Start(since=rfc3339(parse_moment(start.since)))
        config = consumer(self._user, slot, filter_of(self._workspace, stream, filter_), start, pace or Pace())
        if start.since and stream == "facts":
            del config["opt_start_time"]
            config |= await self._since(start.since)
        name, body = STREAMS[stream], {"stream_name": STREAMS[stream], "config": config, "action": "create"}
        try:
            info = await call(self._nc, f"CONSUMER.CREATE.{name}.{config['name']}.{config['filter_subject']}", body)
        except ApiError as error:
            if error.code in CONSUMER_EXISTS:
                if (present := await self._same(name, config)) is not None:
                    return _view(slot, stream, present)
                detail = f"There is a consumer {slot!r} of {stream} with other settings; delete it first."
                raise Conflict("consumer_exists", detail) from None
            raise
        return _view(slot, stream, info)

    async def _since(self, since: str) -> dict[str, Any]:
        """Where the consumer begins: with the first fact that happened then or later, as the tables tell."""
        last = int((await call(self._nc, f"STREAM.INFO.{FACTS}"))["state"]["last_seq"])
        query = EventList(since=since, limit=1, at_least=last)
        answer = await NatsAsk(self._nc).ask(self._workspace, query, ASK_S)
        items = msgspec.json.decode(answer.result or b"{}", type=Page).items
        first = int(items[0]["sequence"]) if items else last + 1
        return {"deliver_policy": "by_start_sequence", "opt_start_seq": first, "metadata": {SINCE: since}}

    async def _same(self, stream: str, config: dict[str, Any]) -> dict[str, Any] | None:
        """The present consumer, if it was made since the same time and is otherwise as asked."""
        since = config.get("metadata", {}).get(SINCE)
        if not since:
            return None
        info = await call(self._nc, f"CONSUMER.INFO.{stream}.{config['name']}")
        present = info["config"]
        same = (present.get("metadata") or {}).get(SINCE) == since
        asked = [key for key in config if key not in MADE]
        return info if same and all(present.get(key) == config[key] for key in asked) else None

    async def delete(self, slot: Slot, stream: StreamName) -> None:
        """Raises ``NotFound`` (code ``consumer_not_found``)."""
        try:
            await call(self._nc, f"CONSUMER.DELETE.{STREAMS[stream]}.{durable(self._user, slot)}")
        except ApiError as error:
            if error.code == CONSUMER_NOT_FOUND:
                raise NotFound("consumer_not_found", f"There is no consumer {slot!r} of {stream}.") from None
            raise

    async def all(self) -> list[ConsumerView]:
        """Those there are, of both streams."""
        found = await asyncio.gather(*(self._get(slot, stream) for stream in ("facts", "signals") for slot in SLOTS))
        return [view for view in found if view is not None]

    async def _get(self, slot: Any, stream: Any) -> ConsumerView | None:
        try:
            info = await call(self._nc, f"CONSUMER.INFO.{STREAMS[stream]}.{durable(self._user, slot)}")
        except ApiError as error:
            if error.code == CONSUMER_NOT_FOUND:
                return None
            raise
        return _view(slot, stream, info)


def _view(slot: Slot, stream: StreamName, info: dict[str, Any]) -> ConsumerView:
    name = info["name"]
    return ConsumerView(
        name=slot, stream=stream, consumer=name, filter=info["config"]["filter_subject"],
        pull=subjects.below_prefix(subjects.pull_next(STREAMS[stream], name)),
        delivered=info["delivered"]["stream_seq"], acknowledged=info["ack_floor"]["stream_seq"],
        pending=info["num_pending"], unacknowledged=info["num_ack_pending"],
    )  # fmt: skip

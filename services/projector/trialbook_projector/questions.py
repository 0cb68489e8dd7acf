"""The typed questions as FastStream subscribers: one per query name on ``ask.{workspace}.<name>``.

The decoded body is the typed query, whatever the content type says; the reply is the ``Answer``. A body that cannot be
decoded is answered as every refusal is. ``DIRECT`` names are not subscribed here: see ``direct``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from inspect import cleandoc
from typing import Annotated, Any

import msgspec
from faststream import BaseMiddleware
from faststream.nats import NatsMessage, NatsResponse, NatsRouter
from faststream.nats.subscriber.usecases import ConcurrentCoreSubscriber

from trialbook import subjects
from trialbook.asking import MEDIA_TYPE
from trialbook.errors import Invalid
from trialbook.proofs import ALL_QUERIES
from trialbook.queries import Query, RunGet, RunLogs
from trialbook_projector import seal
from trialbook_projector.answer import MAX_OPEN, Answering, Reply, decode
from trialbook_projector.queries.reading import EVERYWHERE
from trialbook_projector.rebuild import Order, Report

QUEUE_GROUP = "projector"
DIRECT_GROUP = "projector-direct"
"""Another one: the server gives a message once to each group, however the subjects of its members overlap."""
DIRECT = frozenset({RunGet.NAME, RunLogs.NAME})
"""Names that ``direct`` answers with nats-py, because their share and their cost make FastStream's part matter."""
SERVED = frozenset({*ALL_QUERIES, subjects.REBUILD, subjects.SEAL} - DIRECT)
"""Names that FastStream answers."""
WORKERS = 2 * MAX_OPEN
"""More than may be open, so that who asks too much is refused instead of waiting unheard; tasks are made on demand."""
JSON = "application/json"

Control = Callable[[Order], Awaitable[Report]]
Seal = Callable[[seal.Order], Awaitable[seal.Report]]


class Asked(msgspec.Struct, frozen=True):
    """A decoded question."""

    workspace: str
    body: Any


class Described:
    """Annotates a handler's parameter with the JSON Schema of the wire's body, for FastStream's AsyncAPI generator.

    pydantic, which that generator asks, knows nothing of msgspec's structs but calls these two methods.
    """

    def __init__(self, body: type[msgspec.Struct]) -> None:
        self._body = body

    def __get_pydantic_core_schema__(self, _source: Any, _handler: Any) -> dict[str, Any]:
        """Any value: nothing is validated here, the decoder does."""
        return {"type": "any"}

    def __get_pydantic_json_schema__(self, _schema: Any, _handler: Any) -> dict[str, Any]:
        """The schema of the body; bodies of questions have no nested structs."""
        _, components = msgspec.json.schema_components([self._body])
        schema: dict[str, Any] = components[self._body.__name__]
        return schema


class Questions:
    """A router with the subscribers, which answers what they receive once it is open.

    ``direct`` declares likewise what is subscribed without FastStream, so that one generator documents everything.
    """

    def __init__(self) -> None:
        self.router = router = NatsRouter(middlewares=[partial(_Gate, self)])
        self.direct = NatsRouter(middlewares=[partial(_Gate, self)])
        self._subscribers: list[ConcurrentCoreSubscriber] = []
        self._answering: Answering | None = None
        self._control: Control | None = None
        self._seal: Seal | None = None
        for name in sorted(SERVED - {subjects.REBUILD, subjects.SEAL}):
            self._subscribers.append(declare(router, name, ALL_QUERIES[name], self._answer, _query_of(name)))
        for name in sorted(DIRECT):
            declare(self.direct, name, ALL_QUERIES[name], self._answer, _query_of(name), DIRECT_GROUP)
        self._subscribers.append(
            declare(router, subjects.REBUILD, Order, self._rebuild, _control_of(subjects.REBUILD, Order))
        )
        sealed = _control_of(subjects.SEAL, seal.Order)
        self._subscribers.append(declare(router, subjects.SEAL, seal.Order, self._sealed, sealed))

    def open(self, answering: Answering, control: Control, sealing: Seal | None = None) -> None:
        """Say who answers; before the broker starts. Without ``sealing`` nothing can be sealed."""
        self._answering, self._control, self._seal = answering, control, sealing

    async def finish(self, timeout_s: float) -> None:
        """Take no more questions and answer those that are here, for at most ``timeout_s`` seconds."""
        await asyncio.gather(*(_finish(subscriber, timeout_s) for subscriber in self._subscribers))

    @property
    def answering(self) -> Answering:
        """Who answers."""
        assert self._answering is not None, "open() comes before the broker's start"
        return self._answering

    async def _answer(self, asked: Asked) -> Reply:
        return await self.answering.answer(asked.workspace, asked.body)

    async def _rebuild(self, asked: Asked) -> Reply:
        assert self._control is not None, "open() comes before the broker's start"
        return await self.answering.control(self._control(asked.body))

    async def _sealed(self, asked: Asked) -> Reply:
        assert self._seal is not None, "open() comes before the broker's start"
        return await self.answering.control(self._seal(asked.body))


class _Gate(BaseMiddleware[Any, Any]):
    """Bounds what is open, drops what wants no answer, and turns refusals and faults into answers."""

    def __init__(self, questions: Questions, message: Any, /, *, context: Any) -> None:
        super().__init__(message, context=context)
        self._questions = questions

    async def consume_scope(self, call_next: Callable[[Any], Awaitable[Any]], msg: Any) -> Any:
        """Everything after parsing: decoding and answering."""
        if not msg.reply_to:
            return None
        reply = await self._questions.answering.guarded(msg.raw_message.subject, partial(call_next, msg))
        headers = {"content-type": reply.media_type or JSON}
        if reply.media_type:
            headers[MEDIA_TYPE] = reply.media_type
        return NatsResponse(reply.payload, headers=headers)


def declare(
    router: NatsRouter, name: str, body: type[msgspec.Struct], answer: Callable[[Asked], Awaitable[Reply]],
    decoder: Callable[[NatsMessage], Awaitable[Asked]], queue: str = QUEUE_GROUP,
) -> ConcurrentCoreSubscriber:  # fmt: skip
    """One subscriber: questions ``name`` of every workspace whose body is a ``body``."""

    async def question(asked: Any) -> Reply:
        return await answer(asked)

    question.__annotations__["asked"] = Annotated[Any, Described(body)]
    subscriber = router.subscriber(
        subjects.ask("{workspace}", name), queue, max_workers=WORKERS, decoder=decoder, title=name,
        description=cleandoc(body.__doc__ or ""),
    )  # fmt: skip
    subscriber(question)
    return subscriber


def _query_of(name: str) -> Callable[[NatsMessage], Awaitable[Asked]]:
    async def decoder(message: NatsMessage) -> Asked:
        query: Query = decode(name, message.body)
        return Asked(message.path["workspace"], query)

    return decoder


def _control_of(name: str, order: type[msgspec.Struct]) -> Callable[[NatsMessage], Awaitable[Asked]]:
    async def decoder(message: NatsMessage) -> Asked:
        workspace = message.path["workspace"]
        if workspace != EVERYWHERE:
            raise Invalid("unknown_query", f"{name} is asked across workspaces only.")
        try:
            return Asked(workspace, msgspec.json.decode(message.body or b"{}", type=order))
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise Invalid("invalid_query", f"{name} cannot be read: {error}") from None

    return decoder


async def _finish(subscriber: ConcurrentCoreSubscriber, timeout_s: float) -> None:
    """FastStream's own stop drops what has arrived and is not begun; here it is answered first."""
    subscription, subscriber.subscription = subscriber.subscription, None
    if subscription is None:
        return
    await subscription.drain()  # type: ignore[no-untyped-call] # nats-py has no types here
    subscriber.send_stream.close()
    await asyncio.wait(subscriber.tasks, timeout=timeout_s)

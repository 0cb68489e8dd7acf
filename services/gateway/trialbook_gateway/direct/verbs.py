"""What each verb does with the JSON that came with it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any

import msgspec
from pydantic import Field

from trialbook.log.consumers import Consumers, ConsumerView
from trialbook.outside import ACK_WAIT_S, MAX_ACK_PENDING, Pace, Slot, Start, StreamName
from trialbook.views import RunView
from trialbook_gateway import acting
from trialbook_gateway.acting import Done
from trialbook_gateway.schemas.base import SEQUENCE_MAX, Body
from trialbook_gateway.schemas.runs import CancelIn, RunCreate
from trialbook_gateway.services import Caller, Services
from trialbook_gateway.strictjson import into


class Command(msgspec.Struct, frozen=True):
    """A command that came in: who sent it, in which workspace, with which headers and JSON."""

    caller: Caller
    user: str
    headers: Mapping[str, str]
    body: Any


class Carried(msgspec.Struct, frozen=True, kw_only=True):
    """What was done: ``result`` by verb; ``sequence`` of the last fact, 0 where no fact was appended."""

    result: Any = None
    sequence: int = 0
    replayed: bool = False


class RunIn(Body):
    """Which run."""

    id: Annotated[str, Field(max_length=36)]


class CancelRunIn(CancelIn):
    """Which run, and why it is cancelled."""

    id: Annotated[str, Field(max_length=36)]


class ConsumerIn(Body):
    """Which consumer of one's own."""

    name: Slot = "main"
    stream: StreamName = "facts"


class ConsumerCreate(ConsumerIn):
    """A consumer that begins after a sequence, at a time, or at the start; ``filter``: a part of the workspace."""

    after: Annotated[int, Field(ge=0, le=SEQUENCE_MAX)] | None = None
    since: Annotated[str, Field(max_length=40)] = ""
    filter: Annotated[str, Field(max_length=255)] = ""
    max_ack_pending: Annotated[int, Field(ge=1, le=MAX_ACK_PENDING)] = MAX_ACK_PENDING
    ack_wait_s: Annotated[int, Field(ge=1, le=3600)] = ACK_WAIT_S


class Nothing(Body):
    """No members."""


async def _submit(services: Services, command: Command) -> Carried:
    return _carried(await acting.submit(services, command.caller, command, command.body))


async def _cancel(services: Services, command: Command) -> Carried:
    order = into(CancelRunIn, command.body)
    return _carried(await acting.act(services, command.caller, command, "cancel", order.id, order.reason))


async def _delete(services: Services, command: Command) -> Carried:
    run = into(RunIn, command.body).id
    return Carried(sequence=await acting.delete(services, command.caller, command, run))


def _acting(verb: str) -> Handler:
    async def carry_out(services: Services, command: Command) -> Carried:
        run = into(RunIn, command.body).id
        return _carried(await acting.act(services, command.caller, command, verb, run))

    return carry_out


async def _create_consumer(services: Services, command: Command) -> Carried:
    order = into(ConsumerCreate, command.body)
    start = Start(after=order.after, since=order.since)
    pace = Pace(max_ack_pending=order.max_ack_pending, ack_wait_s=order.ack_wait_s)
    consumers = _consumers(services, command)
    return Carried(result=await consumers.create(order.name, order.stream, order.filter, start, pace))


async def _delete_consumer(services: Services, command: Command) -> Carried:
    order = into(ConsumerIn, command.body)
    await _consumers(services, command).delete(order.name, order.stream)
    return Carried()


async def _list_consumers(services: Services, command: Command) -> Carried:
    into(Nothing, command.body)
    return Carried(result=await _consumers(services, command).all())


def _consumers(services: Services, command: Command) -> Consumers:
    return Consumers(services.nc, command.user, command.caller.workspace)


def _carried(done: Done) -> Carried:
    return Carried(result=done.run, sequence=done.sequence, replayed=done.replayed)


Handler = Callable[[Services, Command], Awaitable[Carried]]


class Verb(msgspec.Struct, frozen=True):
    """A verb: what it does, the model of its body, the type of its result."""

    carry_out: Handler
    body: type[Body]
    result: Any
    summary: str


VERBS: dict[str, Verb] = {
    "run.submit": Verb(_submit, RunCreate, RunView, "Create a run, and start it unless start is false."),
    "run.start": Verb(_acting("start"), RunIn, RunView, "Queue a created run."),
    "run.cancel": Verb(_cancel, CancelRunIn, RunView, "Cancel a run."),
    "run.pause": Verb(_acting("pause"), RunIn, RunView, "Pause a run at its next checkpoint."),
    "run.resume": Verb(_acting("resume"), RunIn, RunView, "Resume a paused run, or withdraw a pause."),
    "run.retry": Verb(_acting("retry"), RunIn, RunView, "Queue a failed or cancelled run again."),
    "run.reset": Verb(_acting("reset"), RunIn, RunView, "Make a run what it was when it was created."),
    "run.delete": Verb(_delete, RunIn, None, "Delete a run; its name becomes free."),
    "consumer.create": Verb(_create_consumer, ConsumerCreate, ConsumerView, "Make a consumer of one's own."),
    "consumer.delete": Verb(_delete_consumer, ConsumerIn, None, "Delete a consumer of one's own."),
    "consumer.list": Verb(_list_consumers, Nothing, list[ConsumerView], "List the consumers of one's own."),
}

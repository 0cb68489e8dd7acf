"""Verbs of runs and of a user's consumers, and all verbs."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from trialbook.log.consumers import Consumers, ConsumerView
from trialbook.outside import ACK_WAIT_S, MAX_ACK_PENDING, Pace, Slot, Start, StreamName
from trialbook.views import ErasureView, RunView
from trialbook_gateway import acting
from trialbook_gateway.acting import Done
from trialbook_gateway.api.erasures import ErasureCreate, erase
from trialbook_gateway.direct import stored
from trialbook_gateway.direct.verb import Carried, Command, Handler, ItemId, Nothing, Verb, Which
from trialbook_gateway.schemas.base import SEQUENCE_MAX, Body
from trialbook_gateway.schemas.runs import CancelIn, RunCreate
from trialbook_gateway.services import Services
from trialbook_gateway.strictjson import into


class CancelWhich(CancelIn):
    """Which run, and why it is cancelled."""

    id: ItemId


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


async def _submit(services: Services, command: Command) -> Carried:
    return _carried(await acting.submit(services, command.caller, command, command.body))


async def _cancel(services: Services, command: Command) -> Carried:
    order = into(CancelWhich, command.body)
    return _carried(await acting.act(services, command.caller, command, "cancel", order.id, order.reason))


async def _delete(services: Services, command: Command) -> Carried:
    run = into(Which, command.body).id
    return Carried(sequence=await acting.delete(services, command.caller, command, run))


def _acting(verb: str) -> Handler:
    async def carry_out(services: Services, command: Command) -> Carried:
        run = into(Which, command.body).id
        return _carried(await acting.act(services, command.caller, command, verb, run))

    return carry_out


async def _replay(services: Services, command: Command) -> Carried:
    run = into(Which, command.body).id
    return _carried(await acting.replay(services, command.caller, command, run))


async def _erase(services: Services, command: Command) -> Carried:
    view, sequence = await erase(services, command.caller, into(ErasureCreate, command.body))
    return Carried(result=view, sequence=sequence)


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


VERBS: dict[str, Verb] = {
    "run.submit": Verb(_submit, RunCreate, RunView, "Create a run, and start it unless start is false."),
    "run.start": Verb(_acting("start"), Which, RunView, "Queue a created run."),
    "run.cancel": Verb(_cancel, CancelWhich, RunView, "Cancel a run."),
    "run.pause": Verb(_acting("pause"), Which, RunView, "Pause a run at its next checkpoint."),
    "run.resume": Verb(_acting("resume"), Which, RunView, "Resume a paused run, or withdraw a pause."),
    "run.retry": Verb(_acting("retry"), Which, RunView, "Queue a failed or cancelled run again."),
    "run.reset": Verb(_acting("reset"), Which, RunView, "Make a run what it was when it was created."),
    "run.replay": Verb(_replay, Which, RunView, "Execute an ended run again with its recorded effects only."),
    "run.delete": Verb(_delete, Which, None, "Delete a run; its name becomes free.", seals=False),
    **stored.VERBS,
    "erasure.create": Verb(_erase, ErasureCreate, ErasureView, "Erase a data subject.", seals=False),
    "consumer.create": Verb(_create_consumer, ConsumerCreate, ConsumerView, "Make a consumer.", seals=False),
    "consumer.delete": Verb(_delete_consumer, ConsumerIn, None, "Delete a consumer of one's own.", seals=False),
    "consumer.list": Verb(_list_consumers, Nothing, list[ConsumerView], "List one's consumers.", seals=False),
}

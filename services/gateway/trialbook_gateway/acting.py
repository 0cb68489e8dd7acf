"""What may be done with runs, from an order to its outcome: the one way for HTTP and for NATS.

``asker`` is whatever carries the headers of a request: ``Idempotency-Key`` and ``If-Match`` mean the same everywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from trialbook.domain.run import commands
from trialbook.handle import Loaded, Outcome
from trialbook.ids import parse_id
from trialbook.views import RunView, run_view
from trialbook_gateway import replies
from trialbook_gateway.commanding import command_run, delete_run
from trialbook_gateway.idempotency import Headed, command_id, identify
from trialbook_gateway.ordering import create_run, spec_of
from trialbook_gateway.replaying import replay_of
from trialbook_gateway.schemas.runs import RunCreate
from trialbook_gateway.services import Caller, Services
from trialbook_gateway.strictjson import into

ROUTE = "runs.create"
ACTIONS: dict[str, Callable[[str, str, str], commands.Command]] = {
    "start": lambda ticket, key, _: commands.Start(ticket=ticket, command_id=key),
    "cancel": lambda _, key, reason: commands.RequestCancel(reason=reason, command_id=key),
    "pause": lambda _, key, _reason: commands.RequestPause(command_id=key),
    "resume": lambda ticket, key, _: commands.RequestResume(ticket=ticket, command_id=key),
    "retry": lambda ticket, key, _: commands.Retry(ticket=ticket, command_id=key),
    "reset": lambda _, key, _reason: commands.Reset(command_id=key),
}
"""Verb -> command from a fresh ticket, the command id and the reason."""


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """A run after a command. ``replayed``: the same request was carried out before, and this is its first reply.

    ``terminal``: it has ended.
    """

    run: RunView
    sequence: int
    replayed: bool = False
    terminal: bool = False


async def submit(services: Services, caller: Caller, asker: Headed, body: Any) -> Done:
    """Create a run from a JSON body. Raises refusals: of the body's form, of parameters and inputs, ``Conflict``."""
    order = into(RunCreate, body)
    asked = identify(asker, caller.workspace, caller.principal.actor, ROUTE, body, services.ids.new())
    spec = await spec_of(services, caller, order)
    outcome, replayed = await create_run(services, caller, spec, asked, start=order.start)
    return _done(caller, asked.id, outcome, replayed)


async def act(services: Services, caller: Caller, asker: Headed, verb: str, run: str, reason: str = "") -> Done:
    """Carry out one of ``ACTIONS``. Raises refusals of the domain, ``PreconditionFailed``, ``Invalid`` for the id."""
    id_ = parse_id(run, "run id")
    key = command_id(asker, caller.workspace, caller.principal.actor, f"runs.{verb}", id_)
    command = ACTIONS[verb](services.ids.new(), key, reason)
    outcome = await command_run(services, caller, id_, command, replies.expected_sequence(asker))
    return _done(caller, id_, outcome)


async def replay(services: Services, caller: Caller, asker: Headed, run: str) -> Done:
    """Execute an ended run again. Raises ``NotFound``, ``Conflict`` (code ``run_not_replayable``)."""
    id_ = parse_id(run, "run id")
    original: Loaded[Any] = await services.handler.load(caller.aggregate("run", id_))
    asked = identify(asker, caller.workspace, caller.principal.actor, "runs.replay", {"run": id_}, services.ids.new())
    order = replay_of(id_, original.state)
    outcome, replayed = await create_run(services, caller.taking_over(original), order, asked)
    return _done(caller, asked.id, outcome, replayed)


async def delete(services: Services, caller: Caller, asker: Headed, run: str) -> int:
    """Delete a run; the sequence of the fact. Raises as ``act``."""
    id_ = parse_id(run, "run id")
    key = command_id(asker, caller.workspace, caller.principal.actor, "runs.delete", id_)
    return (await delete_run(services, caller, id_, key, replies.expected_sequence(asker))).sequence


def _done(caller: Caller, id_: str, outcome: Outcome[Any], replayed: bool = False) -> Done:
    view = run_view(caller.workspace, id_, outcome.state, outcome.sequence)
    return Done(run=view, sequence=outcome.sequence, replayed=replayed, terminal=outcome.state.terminal)

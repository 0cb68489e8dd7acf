"""Carry out a command on a run, optionally only at an expected sequence (``If-Match``)."""

from __future__ import annotations

from typing import Any

from trialbook.domain import names
from trialbook.domain.run import commands
from trialbook.envelope import AggregateId
from trialbook.handle import Outcome
from trialbook_gateway.ordering import name_aggregate
from trialbook_gateway.replies import must_match
from trialbook_gateway.services import Caller, Services


async def command_run(
    services: Services, caller: Caller, run: str, command: commands.Command, expected: int | None = None
) -> Outcome[Any]:
    """The outcome. Raises refusals of the domain, and ``PreconditionFailed`` when the run changed meanwhile."""
    aggregate = caller.aggregate("run", run)
    if expected is None:
        outcome = await services.handler.handle(aggregate, command, caller.meta)
    else:
        outcome = await _at(services, caller, aggregate, command, expected)
    services.telemetry.facts.inc(len(outcome.facts))
    services.wrote(aggregate, outcome.sequence)
    return outcome


async def _at(services: Services, caller: Caller, aggregate: AggregateId, command: Any, expected: int) -> Outcome[Any]:
    """Decide on exactly the expected state and append only if nothing came between."""
    loaded = await services.handler.load(aggregate)
    if loaded.sequence and not _repeated(command, loaded.state):
        must_match(expected, loaded.sequence)
    orders = [(aggregate, command)]
    return (
        await services.handler.handle_all(orders, caller.meta, {aggregate: loaded}, pinned={aggregate: loaded.sequence})
    )[0]


def _repeated(command: Any, state: Any) -> bool:
    """Whether its key was used before: a client that repeats a request repeats its If-Match too."""
    return bool(command.command_id) and command.command_id in state.command_ids


async def delete_run(
    services: Services,
    caller: Caller,
    run: str,
    command_id: str,
    expected: int | None,
    scope: str = "run",
    *,
    cancel: bool = False,
) -> Outcome[Any]:
    """Delete a run and release its name in one append; ``cancel`` ends its execution. Raises as ``command_run``."""
    aggregate = caller.aggregate("run", run)
    loaded = await services.handler.load(aggregate)
    delete = commands.Delete(cancel=cancel, command_id=command_id)
    if loaded.sequence and not _repeated(delete, loaded.state):
        must_match(expected, loaded.sequence)
    orders: list[tuple[AggregateId, Any]] = [(aggregate, delete)]
    spec = loaded.state.spec
    if spec is not None and spec.name is not None:
        orders.append((name_aggregate(caller.workspace, scope, spec.name), names.Release(owner=run)))
    outcomes = await services.handler.handle_all(orders, caller.meta, {aggregate: loaded})
    services.telemetry.facts.inc(sum(len(outcome.facts) for outcome in outcomes))
    services.wrote(aggregate, outcomes[0].sequence)
    return outcomes[0]

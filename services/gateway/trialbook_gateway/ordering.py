"""From an accepted order to a run: defaults of the workload, walls, inputs, and the facts that create it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from trialbook.aggregates import RUN
from trialbook.codec import fact_of
from trialbook.domain import names
from trialbook.domain.run import Retry, RunSpec, commands
from trialbook.envelope import AggregateId
from trialbook.errors import Conflict, Invalid, TooLarge
from trialbook.handle import Loaded, Outcome, fresh
from trialbook.ids import derived_id
from trialbook.presence import WorkloadInfo
from trialbook_gateway import replies
from trialbook_gateway.belongings import may_refer_to
from trialbook_gateway.idempotency import Idempotency, same_request
from trialbook_gateway.schemas.runs import RunCreate, SweepIn
from trialbook_gateway.services import Caller, Services

WALLS = {"inline": 0, "task": 1, "process": 2, "sandbox": 3}
SWEEP = "sweep"
CHECKED_CHILDREN = 500
_DEFAULT_POOLS = {"inline": "inline", "task": "task"}


def name_aggregate(workspace: str, scope: str, name: str) -> AggregateId:
    """The aggregate that owns a unique name; ``scope`` separates runs of different dialects if they wish."""
    return AggregateId(workspace, "name", derived_id("name", workspace, scope, name))


def isolation_of(workload: WorkloadInfo, asked: str | None) -> str:
    """The wall a run gets: the workload's own or a thicker one. Raises ``Invalid`` (code ``isolation_too_weak``)."""
    if asked is None:
        return workload.isolation
    if WALLS[asked] < WALLS[workload.isolation]:
        raise Invalid(
            "isolation_too_weak", f"The workload {workload.name!r} needs {workload.isolation!r}; {asked!r} is weaker."
        )
    return asked


def pool_of(workload: WorkloadInfo, isolation: str, asked: str | None) -> str:
    """The pool a run waits in: as asked, else the workload's own, which a thicker wall may rule out."""
    if asked is not None:
        return asked
    if isolation == workload.isolation or workload.pool not in _DEFAULT_POOLS.values():
        return workload.pool
    return _DEFAULT_POOLS.get(isolation, "default")


def combinations(sweep: SweepIn) -> Iterator[dict[str, Any]]:
    """What each child changes in the order's params."""
    if sweep.entries is not None:
        yield from sweep.entries
        return
    assert sweep.grid is not None
    for values in itertools.product(*sweep.grid.values()):
        yield dict(zip(sweep.grid, values, strict=True))


def _count(sweep: SweepIn) -> int:
    if sweep.entries is not None:
        return len(sweep.entries)
    total = 1
    for values in (sweep.grid or {}).values():
        total *= len(values)
    return total


def _sweep_params(services: Services, order: RunCreate, sweep: SweepIn, target: WorkloadInfo) -> dict[str, Any]:
    limit = services.settings.max_sweep_children
    if (count := _count(sweep)) > limit:
        raise TooLarge("sweep_too_large", f"The sweep has {count} children; at most {limit} are allowed.")
    for number, changes in enumerate(itertools.islice(combinations(sweep), CHECKED_CHILDREN)):
        services.validators.check(target, {**order.params, **changes}, ("sweep", number))
    varied = {"grid": sweep.grid} if sweep.grid is not None else {"points": sweep.entries}
    own = sweep.model_dump(exclude_none=True, include={"max_parallel", "on_failure"})
    return {"workload": order.workload, "base": order.params, **varied, **own}


async def spec_of(services: Services, caller: Caller, order: RunCreate, dialect: str = "native") -> RunSpec:
    """The checked spec of an order. Raises ``Invalid`` for unknown workloads, bad params, weak walls, no inputs."""
    target = services.directory.ordered(order.workload)
    workload, params = target, order.params
    if order.sweep is not None:
        workload, params = services.directory.ordered(SWEEP), _sweep_params(services, order, order.sweep, target)
    services.validators.check(workload, params)
    if len(replies.encode(params)) > services.settings.max_params_bytes:
        limit = services.settings.max_params_bytes
        raise TooLarge("params_too_large", f"Parameters may have {limit} bytes as JSON; pass more as an input file.")
    isolation = isolation_of(workload, order.isolation if order.sweep is None else None)
    retry = Retry(**order.retry.model_dump()) if order.retry.model_fields_set else Retry()
    return RunSpec(
        workload=workload.name, params=params, name=order.name, title=order.title, labels=order.labels,
        pool=pool_of(workload, isolation, order.pool), lane=order.lane, priority=order.priority, isolation=isolation,  # type: ignore[arg-type]
        timeout_s=order.timeout_s if order.timeout_s is not None else workload.timeout_s, retry=retry, seed=order.seed,
        inputs=await _inputs(services, caller, order.inputs), dialect=dialect,
    )  # fmt: skip


async def _inputs(services: Services, caller: Caller, asked: dict[str, str]) -> dict[str, str]:
    """Name -> sha256; an id of 32 digits names an uploaded file. Raises ``Invalid`` (code ``input_not_found``)."""
    found: dict[str, str] = {}
    for name, reference in asked.items():
        sha256 = reference
        if len(reference) == 32:
            file = (await services.handler.load(caller.aggregate("file", reference))).state
            sha256 = file.sha256 if file.exists and not file.deleted else ""
        elif not await may_refer_to(services, caller, reference):
            sha256 = ""
        if not sha256 or await services.blobs.stat(sha256) is None:
            raise Invalid("input_not_found", f"Input {name!r}: nothing is stored as {reference}; upload it first.")
        found[name] = sha256
    return found


async def create_run(
    services: Services, caller: Caller, spec: RunSpec, asked: Idempotency, *, start: bool = True, scope: str = "run"
) -> tuple[Outcome[Any], bool]:
    """Create a run (and claim its name in the same append). Returns the outcome and whether it is a replay.

    A replay's outcome is the state right after creation, so that the first reply can be given again. Raises
    ``Conflict`` (``name_taken``, ``idempotency_key_reused``).
    """
    aggregate = caller.aggregate("run", asked.id)
    # Before anything is appended: a name that was released meanwhile must not be claimed again.
    if asked.keyed and spec.name is not None and (first := await _first(services, aggregate, asked)) is not None:
        return first, True
    create = commands.Create(
        spec=spec, start=start, ticket=services.ids.new() if start else "", command_id=asked.command_id,
        digest=asked.digest,
    )  # fmt: skip
    orders: list[tuple[AggregateId, Any]] = [(aggregate, create)]
    known: dict[AggregateId, Loaded[Any]] = {aggregate: fresh("run")}
    if spec.name is not None:
        owner = name_aggregate(caller.workspace, scope, spec.name)
        orders.append((owner, names.Claim(scope=scope, name=spec.name, owner=asked.id)))
        known[owner] = fresh("name")
    try:
        outcome = (await services.handler.handle_all(orders, caller.meta, known))[0]
    except Conflict:  # most keys are new, so the ledger is read only when they turn out not to be
        if asked.keyed and (first := await _first(services, aggregate, asked)) is not None:
            return first, True
        raise
    if not outcome.facts:
        again = await _first(services, aggregate, asked)
        assert again is not None, "a creation without facts was carried out before"
        return again, True
    services.telemetry.facts.inc(len(orders))
    services.wrote(aggregate, outcome.sequence)
    return outcome, False


async def _first(services: Services, aggregate: AggregateId, asked: Idempotency) -> Outcome[Any] | None:
    """The state after the creating fact, when this key was used before."""
    records = await services.log.read(aggregate)
    if not records:
        return None
    first = records[0]
    state = RUN.decider.fold([(fact_of(first.event), first.event.time)])
    if asked.command_id not in state.command_ids:
        raise Conflict("run_exists", "A run with this id exists already.")
    same_request(state.digest, asked, aggregate)
    return Outcome(state, first.sequence, ())

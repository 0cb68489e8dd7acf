"""One attempt from claim to verdict."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import nats.errors

from trialbook.clock import Clock
from trialbook.domain.run import RunState
from trialbook.domain.run import commands as c
from trialbook.domain.run.commands import AttemptCommand
from trialbook.domain.run.spec import RunSpec
from trialbook.envelope import AggregateId
from trialbook.errors import Refusal, TimedOut, Unavailable
from trialbook.handle import Handler, Outcome
from trialbook.ports import BlobStore
from trialbook.tasks import ended
from trialbook.times import parse_time
from trialbook.workload import Workload
from trialbook_runner.blobs import load_value, store_value
from trialbook_runner.children import Children
from trialbook_runner.effects import RunEffects, recording
from trialbook_runner.emit import SignalPublisher, SignalStream
from trialbook_runner.entry import Entry, Order, caused_by, run_of
from trialbook_runner.execute.ending import Control
from trialbook_runner.execute.failures import Stale, failed
from trialbook_runner.execute.process import ProcessExecution
from trialbook_runner.execute.spawner import Spawner
from trialbook_runner.execute.task import TaskExecution
from trialbook_runner.execute.wire import Job, Verdict
from trialbook_runner.facts import AttemptFacts
from trialbook_runner.leases import Leases
from trialbook_runner.operations import Operations
from trialbook_runner.registry import Registry
from trialbook_runner.replay import compared, not_replayable, original_of
from trialbook_runner.sandbox import Walls
from trialbook_runner.settings import Settings
from trialbook_runner.workdir import Workdirs

log = logging.getLogger(__name__)
ACK_RETRY_S = 0.25


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What attempts need of their runner."""

    settings: Settings
    source: str
    handler: Handler
    outside: Handler
    """For commands on other runs, whose recorded effects do not matter."""
    blobs: BlobStore
    environment: dict[str, str]
    """What all attempts here run in; see ``environment.describe``."""
    registry: Registry
    publisher: SignalPublisher
    spawner: Spawner
    children: Children
    leases: Leases
    workdirs: Workdirs
    clock: Clock
    walls: Walls
    attempts: dict[AggregateId, Attempt]
    """Attempts that are being executed now."""


class Attempt:
    """Claims the run of an entry, executes it and records its end."""

    def __init__(self, parts: Parts, entry: Entry, order: Order) -> None:
        self._parts, self._entry, self._order = parts, entry, order
        self.control = Control()
        self.run_id = ""
        self._retried = False

    async def run(self) -> None:
        """From claim to acknowledgement. Raises refusals of the claim; everything after it is recorded."""
        event, fact, known = self._order.event, self._order.fact, self._order.known
        aggregate, meta = run_of(event), caused_by(event, self._parts.source, self._parts.settings.name)
        self.run_id, self._retried = aggregate.id, getattr(fact, "reason", "") == "retry"
        isolation = self._order.isolation
        claim = c.Claim(
            ticket=fact.ticket, runner=self._parts.settings.name, isolation=isolation,
            sandbox=(self._parts.walls.wall or "") if isolation == "sandbox" else "",
            environment=self._environment(known.state.spec),
        )  # fmt: skip
        if self._entry.redelivered:
            last = await self._parts.publisher.last_sequence(aggregate.workspace, aggregate.id)
            claim = msgspec.structs.replace(claim, signal_sequence=last)
        outcome: Outcome[Any] = await self._parts.handler.handle(aggregate, claim, meta, known)
        if outcome.state.status != "running":
            await self._acknowledge()  # the claim found the run cancelled, or lost too often
            return
        facts = AttemptFacts(self._parts.handler, aggregate, outcome.state.attempt, meta, outcome.loaded)
        self._parts.attempts[aggregate] = self
        try:
            await self._execute_and_record(facts)
        except Stale:
            log.warning("run %s: attempt %d is no longer ours; stopped", aggregate.id, facts.attempt)
        finally:
            del self._parts.attempts[aggregate]
            self._parts.children.forget(aggregate.id)

    def _environment(self, spec: RunSpec | None) -> dict[str, str]:
        workload = self._parts.registry.workloads.get(spec.workload) if spec is not None else None
        if workload is None:
            return self._parts.environment
        return {**self._parts.environment, "workload": f"{workload.name}@{workload.version}"}

    async def _execute_and_record(self, facts: AttemptFacts) -> None:
        state = facts.state
        if state.pause_requested:
            self.control.ask("pause")
        if state.cancel_requested:
            self.ask_cancel()
        signals = self._parts.publisher.stream(facts.aggregate.workspace, facts.aggregate.id, facts.attempt)
        verdict = await self._execute(facts, signals)
        last = await signals.settled()
        if verdict.status == "paused" and self.control.release and not self.control.pause:
            await self._entry.nak()  # another runner goes on from the checkpoint
            return
        outcome = await self._record(facts, verdict, last)
        if outcome.state.status == "queued":
            await self._entry.nak(self._delay_s(outcome.state))
        else:
            await self._acknowledge()

    def ask_cancel(self) -> None:
        """The run was cancelled: so are the children it waits for."""
        self._parts.children.parent_cancelled(self.run_id)
        self.control.ask("cancel")

    async def _guard(self, facts: AttemptFacts) -> None:
        """Nothing is published on a lease that may have run out before the ledger says that the run is still ours."""
        if not self._parts.leases.fresh(self._entry):
            await facts.verify()
            await self._entry.beat(self._parts.clock.monotonic())

    async def _execute(self, facts: AttemptFacts, signals: SignalStream) -> Verdict:
        order = facts.state.order
        workload = self._parts.registry.workloads.get(order.workload)
        problem = unfit(workload, order.workload, order.isolation, self._parts.registry, self._parts.walls)
        if problem is not None or workload is None:
            assert problem is not None, "a missing workload is unfit"
            return problem
        watcher = asyncio.create_task(self._watch(facts))
        work = asyncio.create_task(self._work_or_replay(facts, workload, signals))
        ahead = asyncio.create_task(self._look_ahead(facts))
        try:
            await asyncio.wait({watcher, work}, return_when=asyncio.FIRST_COMPLETED)
            if watcher.done() and not work.done():
                watcher.result()
            return await work
        finally:
            for task in (watcher, work, ahead):
                task.cancel()
            await asyncio.gather(work, return_exceptions=True)
            await ended(watcher, ahead)

    async def _look_ahead(self, facts: AttemptFacts) -> None:
        """Who waits in the run's lane will be let in with its verdict, without being read then."""
        lane = facts.state.order.lane
        if lane:
            try:
                await self._parts.handler.foresee(facts.aggregate, lane)
            except (Unavailable, TimedOut) as error:
                log.info("run %s: %s; it is read at the end", facts.aggregate.id, error.detail)

    async def _watch(self, facts: AttemptFacts) -> None:
        """Raises ``Stale`` soon after the lease was lost, also when the workload says nothing."""
        while True:
            await asyncio.sleep(self._parts.leases.lease_s / 3)
            await self._guard(facts)

    async def _work_or_replay(self, facts: AttemptFacts, workload: Workload, signals: SignalStream) -> Verdict:
        parts, replayed = self._parts, facts.state.order.replay_of
        if replayed is None:
            effects = RunEffects(facts, parts.blobs, retried=self._retried or facts.state.failed_attempts > 0)
            return await self._work(facts, workload, signals, effects)
        original = await original_of(parts.handler, facts.aggregate.workspace, replayed)
        if original is None:
            return not_replayable(replayed)
        effects = RunEffects(facts, parts.blobs, original=original)
        verdict = await self._work(facts, workload, signals, effects)
        return await compared(verdict, original, effects, parts.blobs)

    async def _work(
        self, facts: AttemptFacts, workload: Workload, signals: SignalStream, effects: RunEffects
    ) -> Verdict:
        parts, order = self._parts, facts.state.order
        timeout_s = workload.timeout_s if order.timeout_s is None else order.timeout_s
        operations = Operations(facts, parts.blobs, parts.children, parts.settings.max_artifact_bytes, effects)
        async with parts.workdirs.make(facts.aggregate.id, facts.attempt) as place:
            try:
                workload.parse(order.params)
                job = Job(
                    run=facts.aggregate.id, workspace=facts.aggregate.workspace, attempt=facts.attempt,
                    workload=workload.name, params=order.params, seed=order.seed, workdir=str(place.work),
                    scratch=str(place.scratch), inputs=await place.fetch(parts.blobs, order.inputs),
                    digests=order.inputs, shares=workload.shares,
                    checkpoint=await load_value(parts.blobs, facts.state.checkpoint, facts.state.checkpoint_blob),
                    pause=facts.state.pause_requested, walls=parts.walls, source=effects.source,
                    recorded=effects.recorded,
                )  # fmt: skip
            except Refusal as error:
                return failed(error.code, error.detail, **error.extra)
            guard: Callable[[], Any] = lambda: self._guard(facts)  # noqa: E731 -- bound to these facts
            if order.isolation == "task":
                return await TaskExecution(operations, signals, self.control, guard).run(workload, job, timeout_s)
            for name, function in workload.shares.items():
                if name in job.inputs:
                    await parts.spawner.share(function, order.inputs[name], Path(job.inputs[name]))
            execution = ProcessExecution(
                parts.spawner, operations, signals, self.control, guard, parts.settings.kill_grace_s
            )
            return await execution.run(job, timeout_s, workload.warm)

    async def _record(self, facts: AttemptFacts, verdict: Verdict, last: int) -> Outcome[Any]:
        n, blobs = facts.attempt, self._parts.blobs
        effects = [await recording(blobs, n, effect) for effect in verdict.effects]
        return await facts.append(*effects, await _ending(blobs, n, verdict, last))

    def _delay_s(self, state: RunState) -> float:
        return seconds_until(state.not_before, self._parts.clock.now())

    async def _acknowledge(self) -> None:
        while True:
            try:
                await self._entry.ack_surely()
            except (nats.errors.Error, TimeoutError) as error:
                log.debug("acknowledgement: %s; trying again", type(error).__name__)
                await asyncio.sleep(ACK_RETRY_S)
            else:
                return


async def _ending(blobs: BlobStore, attempt: int, verdict: Verdict, last: int) -> AttemptCommand:
    match verdict.status:
        case "completed":
            result, blob = await store_value(blobs, bytes(verdict.result))
            return c.Complete(attempt=attempt, result=result, result_blob=blob, signal_sequence=last)
        case "failed":
            return c.Fail(attempt=attempt, error=verdict.error, retryable=verdict.retryable, signal_sequence=last)
        case "cancelled":
            return c.ConfirmCancelled(attempt=attempt, signal_sequence=last)
        case "paused":
            return c.ConfirmPaused(attempt=attempt, signal_sequence=last)


def unfit(workload: Workload | None, name: str, isolation: str, registry: Registry, walls: Walls) -> Verdict | None:
    """Why a workload cannot be executed as ordered; None when it can."""
    if workload is None:
        reason = f" It is broken here: {registry.broken[name]}" if name in registry.broken else ""
        known = ", ".join(sorted(registry.workloads)) or "none"
        return failed("unknown_workload", f"This runner has no workload {name!r} (it has: {known}).{reason}")
    if isolation == "sandbox" and workload.isolation != "sandbox":
        return failed("isolation_not_allowed", f"The workload {name!r} is not made for a sandbox; 'script' is.")
    if workload.isolation == "sandbox" and isolation != "sandbox":
        return failed("isolation_not_allowed", f"The workload {name!r} runs in a sandbox only.")
    if isolation == "sandbox" and walls.wall is None:
        return failed("sandbox_unavailable", f"This runner has no sandbox. {walls.refusal}.")
    if isolation == "inline" and workload.isolation != "inline":
        return failed("isolation_not_allowed", f"The workload {name!r} is not declared to run inline.")
    if isolation == "task" and (workload.isolation not in ("task", "inline") or not workload.is_async):
        return failed("isolation_not_allowed", f"The workload {name!r} is not declared to run as a task.")
    return None


def seconds_until(at: str, now: datetime) -> float:
    """Seconds from ``now`` to an RFC 3339 time; 0 when it is empty or past."""
    return max(0.0, (parse_time(at) - now).total_seconds()) if at else 0.0

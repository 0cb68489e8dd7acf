"""Child runs: submitted once per key of their parent, awaited, and cancelled with it."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import msgspec

from trialbook.domain.run import RunSpec, RunState
from trialbook.domain.run import commands as c
from trialbook.envelope import AggregateId, Metadata
from trialbook.errors import Conflict, Invalid, NotFound, TimedOut, Unavailable
from trialbook.handle import Handler, Loaded, fresh
from trialbook.ids import derived_id
from trialbook.views import run_view
from trialbook_runner.endings import Endings
from trialbook_runner.execute.wire import RunChild
from trialbook_runner.facts import RETRY_S, AttemptFacts
from trialbook_runner.measurements import Measurements
from trialbook_runner.registry import Registry

log = logging.getLogger(__name__)


class Children:
    """Shared by all attempts of a runner."""

    def __init__(
        self, handler: Handler, endings: Endings, measurements: Measurements, registry: Registry, source: str
    ) -> None:
        self._handler, self._endings, self._measurements = handler, endings, measurements
        self._registry, self._source = registry, source
        self._cancelling: set[str] = set()

    def parent_cancelled(self, run: str) -> None:
        """From now on its children are cancelled when their wait ends; a parent that changes runners keeps them."""
        self._cancelling.add(run)

    def forget(self, run: str) -> None:
        """The parent's attempt is over."""
        self._cancelling.discard(run)

    async def run(self, parent: AttemptFacts, op: RunChild) -> dict[str, Any]:
        """Submit (once) and wait; returns the child's view with its ``metrics``: the last value of each."""
        child, spec = _child(parent.aggregate, op.key), self._spec(parent, op)
        try:
            await self._submit(child, spec, parent, op.key)
            ended = await self._endings.wait(child)
        finally:
            if parent.aggregate.id in self._cancelling:
                await asyncio.shield(self.cancel(parent, op.key))
        return await self._view(child, ended)

    async def recorded(self, parent: AggregateId, key: str) -> dict[str, Any]:
        """The view of a finished run's child, for a replay. Raises ``Conflict`` (``replay_diverged``) without one."""
        child = _child(parent, key)
        ended: Loaded[RunState] = await self._handler.load(child)
        if not ended.state.terminal:
            raise Conflict("replay_diverged", f"The original had no child {key!r} that ended.", key=f"child/{key}")
        return await self._view(child, ended)

    async def _view(self, child: AggregateId, ended: Loaded[RunState]) -> dict[str, Any]:
        view: dict[str, Any] = msgspec.to_builtins(run_view(child.workspace, child.id, ended.state, ended.sequence))
        view["metrics"] = await self._measurements.last(child, ended.state.signal_sequence)
        return view

    async def cancel(self, parent: AttemptFacts, key: str) -> None:
        """Cancel a child; no effect when it has ended or was never submitted."""
        child = _child(parent.aggregate, key)
        command = c.RequestCancel(reason="cancelled by the parent run", command_id=f"parent-{parent.attempt}")
        while True:
            try:
                await self._handler.handle(child, command, self._meta(parent))
            except (Unavailable, TimedOut):
                await asyncio.sleep(RETRY_S)
            except (Conflict, NotFound) as refusal:
                log.debug("child %s: %s", child.id, refusal.detail)
                return
            else:
                return

    def _spec(self, parent: AttemptFacts, op: RunChild) -> RunSpec:
        workload = self._registry.workloads.get(op.workload)
        if workload is None:
            known = ", ".join(sorted(self._registry.workloads))
            raise Invalid("unknown_workload", f"This runner has no workload {op.workload!r} (it has: {known}).")
        order = parent.state.order
        return RunSpec(
            workload=op.workload, params=op.params, title=op.title, pool=workload.pool, isolation=workload.isolation,
            priority=order.priority, timeout_s=workload.timeout_s, seed=order.seed, retry=order.retry,
            parent=parent.aggregate.id, dialect=order.dialect,
        )  # fmt: skip

    async def _submit(self, child: AggregateId, spec: RunSpec, parent: AttemptFacts, key: str) -> None:
        command = c.Create(spec=spec, ticket=derived_id(child.id, "ticket"), command_id=f"child-{key}", digest=child.id)
        while True:
            try:
                await self._handler.handle(child, command, self._meta(parent), fresh("run"))
            except (Unavailable, TimedOut) as error:
                log.warning("child %s: %s; trying again", child.id, error.detail)
                await asyncio.sleep(RETRY_S)
            else:
                return

    def _meta(self, parent: AttemptFacts) -> Metadata:
        """A child belongs to the request that its parent belongs to."""
        return msgspec.structs.replace(parent.meta, source=self._source, actor=f"run:{parent.aggregate.id}")


def _child(parent: AggregateId, key: str) -> AggregateId:
    return AggregateId(parent.workspace, "run", derived_id(parent.workspace, parent.id, "child", key))

"""Child runs: submitted once per key of their parent, awaited, and cancelled with it."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import msgspec

from trialbook.domain.run import RunSpec
from trialbook.domain.run import commands as c
from trialbook.envelope import AggregateId, Metadata
from trialbook.errors import Conflict, Invalid, NotFound, TimedOut, Unavailable
from trialbook.handle import Handler, Outcome, fresh
from trialbook.ids import derived_id
from trialbook.views import run_view
from trialbook_runner.endings import Endings
from trialbook_runner.execute.wire import RunChild
from trialbook_runner.facts import RETRY_S, AttemptFacts
from trialbook_runner.registry import Registry

log = logging.getLogger(__name__)


class Children:
    """Shared by all attempts of a runner; ``draining`` keeps children alive while their parent changes runners."""

    def __init__(self, handler: Handler, endings: Endings, registry: Registry, source: str) -> None:
        self._handler, self._endings, self._registry, self._source = handler, endings, registry, source
        self._cancelling: set[str] = set()

    def parent_cancelled(self, run: str) -> None:
        """From now on, children of this run whose waiting ends are cancelled."""
        self._cancelling.add(run)

    def forget(self, run: str) -> None:
        """The parent's attempt is over."""
        self._cancelling.discard(run)

    async def run(self, parent: AttemptFacts, op: RunChild) -> dict[str, Any]:
        """Submit (once) and wait; returns the child's view."""
        child = AggregateId(
            parent.aggregate.workspace,
            "run",
            derived_id(parent.aggregate.workspace, parent.aggregate.id, "child", op.key),
        )
        spec = self._spec(parent, op)
        await self._submit(child, spec, parent, op.key)
        try:
            ended = await self._endings.wait(child)
        finally:
            if parent.aggregate.id in self._cancelling:
                await asyncio.shield(self._cancel(child, parent))
        view: dict[str, Any] = msgspec.to_builtins(run_view(child.workspace, child.id, ended.state, ended.sequence))
        return view

    def _spec(self, parent: AttemptFacts, op: RunChild) -> RunSpec:
        workload = self._registry.workloads.get(op.workload)
        if workload is None:
            known = ", ".join(sorted(self._registry.workloads))
            raise Invalid(
                "unknown_workload", f"There is no workload {op.workload!r} on this runner; there are: {known}."
            )
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

    async def _cancel(self, child: AggregateId, parent: AttemptFacts) -> None:
        command = c.RequestCancel(reason="the parent run was cancelled", command_id=f"parent-{parent.attempt}")
        while True:
            try:
                _: Outcome[Any] = await self._handler.handle(child, command, self._meta(parent))
            except (Unavailable, TimedOut):
                await asyncio.sleep(RETRY_S)
            except (Conflict, NotFound) as refusal:
                log.debug("child %s: %s", child.id, refusal.detail)
                return
            else:
                return

    def _meta(self, parent: AttemptFacts) -> Metadata:
        run = parent.aggregate.id
        return Metadata(source=self._source, actor=f"run:{run}", correlation=run, causation=run)

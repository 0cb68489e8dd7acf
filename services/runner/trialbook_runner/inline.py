"""The fast path: pure, tiny, trusted workloads run on the loop and are finished with a single fact."""

from __future__ import annotations

import inspect
import logging
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any, NoReturn

import msgspec

from trialbook.domain.run import RunSpec
from trialbook.domain.run.commands import FinishInline
from trialbook.envelope import Event
from trialbook.handle import Loaded
from trialbook.times import rfc3339
from trialbook.workload import Failure
from trialbook_runner.attempt import Parts, unfit
from trialbook_runner.blobs import INLINE_BYTES
from trialbook_runner.entry import Entry, Order, caused_by, run_of
from trialbook_runner.execute.failures import failed, verdict_of
from trialbook_runner.execute.wire import Verdict, encode

log = logging.getLogger(__name__)
SLOW_S = 0.05


class InlineContext:
    """What an inline workload may do: compute. Emitting needs an attempt of its own, so it is refused clearly."""

    inputs: dict[str, Path]
    checkpoint_data = None
    cancelled = False
    attempt = 1

    def __init__(self, parts: Parts, event: Event, spec: RunSpec) -> None:
        self._parts = parts
        self.workspace, _, self.run = event.subject.split("/")
        self.seed = spec.seed
        self.inputs = {}

    @property
    def random(self) -> Random:
        """Seeded with the run's seed; a new one at each access."""
        return Random(self.seed)  # noqa: S311 -- reproducible on purpose

    def now(self) -> datetime:
        """Current UTC time."""
        return self._parts.clock.now()

    def check(self) -> None:
        """An inline run cannot be cancelled."""

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise Failure(
            "inline_only_computes",
            "An inline workload cannot emit, take steps, store bytes or start runs; declare it process or task.",
            retryable=False,
        )

    log = metric = progress = row = checkpoint = step = artifact = child = effect = _refuse
    effect_source = find_effect = record_effect = _refuse


async def run_inline(parts: Parts, entry: Entry, order: Order) -> None:
    """Execute and finish one entry. Raises the refusals of its claim."""
    event, known = order.event, order.known
    started_at = rfc3339(parts.clock.now())
    verdict = await _compute(parts, event, known)
    command = FinishInline(
        ticket=order.fact.ticket, runner=parts.settings.name, started_at=started_at,
        result=msgspec.json.decode(verdict.result) if verdict.status == "completed" else None,
        error=verdict.error if verdict.status == "failed" else None,
    )  # fmt: skip
    meta = caused_by(event, parts.source, parts.settings.name)
    await parts.handler.handle(run_of(event), command, meta, known)
    await entry.ack()


async def _compute(parts: Parts, event: Event, known: Loaded[Any]) -> Verdict:
    if known.state.spec is None:
        return failed("run_not_found", "There is no such run.")
    spec: RunSpec = known.state.spec
    workload = parts.registry.workloads.get(spec.workload)
    problem = unfit(workload, spec.workload, spec.isolation, parts.registry, parts.walls)
    if problem is not None or workload is None:
        assert problem is not None, "a missing workload is unfit"
        return problem
    started = parts.clock.monotonic()
    try:
        value = workload.run(InlineContext(parts, event, spec), workload.parse(spec.params))
        busy_s = parts.clock.monotonic() - started
        if inspect.isawaitable(value):
            value = await value
        result = encode(value)
    except Exception as error:  # noqa: BLE001 -- whatever left the workload is its verdict
        return verdict_of(error)
    if busy_s > SLOW_S:
        log.warning("inline workload %r took %.0f ms; it belongs into a process", workload.name, busy_s * 1000)
    if len(result) > INLINE_BYTES:
        return failed("result_too_large", f"The result of an inline workload holds at most {INLINE_BYTES} bytes.")
    return Verdict(status="completed", result=msgspec.Raw(result))

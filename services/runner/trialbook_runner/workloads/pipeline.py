"""``pipeline``: programs as steps of a graph, in parallel where it allows; completed steps are never repeated."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import msgspec

from trialbook.workload import Failure
from trialbook.workload import workload as register
from trialbook_runner.workloads import dag
from trialbook_runner.workloads.programs import Program, execute

Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")]


class Step(Program, kw_only=True, forbid_unknown_fields=True):
    """A program with a name, and the names of the steps whose success it needs."""

    name: Name
    needs: list[str] = msgspec.field(default_factory=list)


class Params(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """All steps share one working directory. After a resume it holds the artifacts of completed steps, nothing else."""

    steps: Annotated[list[Step], msgspec.Meta(min_length=1, max_length=1000)]
    max_parallel: Annotated[int, msgspec.Meta(ge=1, le=64)] = 4

    def __post_init__(self) -> None:
        names = [step.name for step in self.steps]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"two steps have the name {repeated[0]!r}")
        dag.check(self.needs)

    @property
    def needs(self) -> dict[str, list[str]]:
        """The graph."""
        return {step.name: step.needs for step in self.steps}


@register(
    "pipeline",
    params=Params,
    title="Pipeline",
    description="Executes programs as steps of a graph; the steps that need a failed one are left out.",
)
async def workload(ctx: Any, params: Params) -> dict[str, Any]:
    """Return the results by step; fail with a report when a step failed."""
    return await _Pipeline(ctx, params).run()


class _Pipeline:
    def __init__(self, ctx: Any, params: Params) -> None:
        self._ctx, self._params = ctx, params
        self._steps = {step.name: step for step in params.steps}
        self._results: dict[str, Any] = {}
        self._errors: dict[str, str] = {}
        self._running: dict[asyncio.Task[Any], str] = {}

    async def run(self) -> dict[str, Any]:
        try:
            while self._begin() or self._running:
                done, _ = await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    self._finished(self._running.pop(task), task)
        finally:
            for task in self._running:
                task.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)
        if self._ctx.pausing and not self._errors and len(self._results) < len(self._steps):
            await self._ctx.checkpoint(None)  # completed steps are facts already; this is where the run pauses
        return self._report()

    def _begin(self) -> bool:
        """Start what may start; whether anything was started."""
        needs = self._params.needs
        begun = {*self._results, *self._errors, *self._running.values()}
        free = self._params.max_parallel - len(self._running)
        if self._ctx.pausing:
            return False
        chosen = dag.ready(needs, self._results, begun)[:free]
        for name in chosen:
            self._running[asyncio.create_task(self._step(self._steps[name]))] = name
        return bool(chosen)

    async def _step(self, step: Step) -> Any:
        here = False

        async def work() -> dict[str, Any]:
            nonlocal here
            here = True
            return await execute(self._ctx, step)

        result = await self._ctx.step(step.name, work, needs=tuple(step.needs))
        if not here:
            for name, sha256 in result["artifacts"].items():
                await self._ctx.fetch(sha256, self._ctx.workdir / name)
        return result

    def _finished(self, name: str, task: asyncio.Task[Any]) -> None:
        error = task.exception()
        if error is None:
            self._results[name] = task.result()
            self._ctx.progress(len(self._results), len(self._steps), unit="steps", message=name)
        elif isinstance(error, Failure):
            self._errors[name] = error.detail
            self._ctx.log(f"step {name!r} failed: {error.detail}", level="error", logger="pipeline")
        else:
            raise error

    def _report(self) -> dict[str, Any]:
        if not self._errors:
            return {"steps": self._results}
        left_out = sorted(dag.dependents(self._params.needs, self._errors))
        failed = "; ".join(f"{name}: {detail}" for name, detail in self._errors.items())
        detail = f"Failed steps: {failed}" + (f" Left out: {', '.join(left_out)}." if left_out else "")
        raise Failure("step_failed", detail, failed=self._errors, left_out=left_out, completed=sorted(self._results))

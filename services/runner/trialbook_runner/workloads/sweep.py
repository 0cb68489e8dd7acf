"""``sweep``: one run whose children are runs of another workload, over a grid or a list of parameters."""

from __future__ import annotations

import asyncio
import itertools
from typing import Annotated, Any, Literal

import msgspec

from trialbook.workload import Failure
from trialbook.workload import workload as register

MAX_RUNS = 10_000


class Params(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """``grid``: name -> values, every combination, the last name varying fastest; ``points``: sets as they are.

    Both may be given. Each set is laid over ``base``. ``on_failure`` ``stop``: a failing child cancels the others.
    """

    workload: str
    base: dict[str, Any] = {}
    grid: dict[str, list[Any]] = {}
    points: list[dict[str, Any]] = []
    max_parallel: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 4
    on_failure: Literal["continue", "stop"] = "continue"

    def __post_init__(self) -> None:
        if not self.grid and not self.points:
            raise ValueError("give a grid or points")
        count = len(self.points)
        if self.grid:
            product = 1
            for name, values in self.grid.items():
                if not values:
                    raise ValueError(f"the grid has no values for {name!r}")
                product *= len(values)
            count += product
        if count > MAX_RUNS:
            raise ValueError(f"{count} runs are more than the {MAX_RUNS} that a sweep may have")

    def sets(self) -> list[dict[str, Any]]:
        """What varies, per child, in the order of their indexes."""
        combinations = itertools.product(*self.grid.values()) if self.grid else ()
        return [*(dict(zip(self.grid, values, strict=True)) for values in combinations), *self.points]


@register(
    "sweep",
    params=Params,
    isolation="task",
    title="Sweep",
    description="Runs another workload over a grid or a list of parameters, several at a time; gathers the results.",
)
async def workload(ctx: Any, params: Params) -> dict[str, Any]:
    """Return ``{workload, counts, table}`` with one row per child, in the order of their indexes."""
    return await _Sweep(ctx, params).run()


class _Sweep:
    def __init__(self, ctx: Any, params: Params) -> None:
        self._ctx, self._params = ctx, params
        self._sets = params.sets()
        self._rows: dict[int, dict[str, Any]] = {}
        self._running: dict[asyncio.Task[dict[str, Any]], int] = {}
        self._next = 0
        self._stopped = False

    async def run(self) -> dict[str, Any]:
        try:
            while self._begin() or self._running:
                done, _ = await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    await self._finished(self._running.pop(task), task.result())
        finally:
            for task in self._running:
                task.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)
        if self._ctx.pausing and not self._stopped and self._next < len(self._sets):
            await self._ctx.checkpoint(None)  # finished children are found again by their keys
        return self._report()

    def _begin(self) -> bool:
        """Submit what may run now; whether anything was submitted."""
        before = self._next
        while (
            self._next < len(self._sets)
            and len(self._running) < self._params.max_parallel
            and not self._stopped
            and not self._ctx.pausing
        ):
            self._running[asyncio.create_task(self._child(self._next))] = self._next
            self._next += 1
        return self._next > before

    async def _child(self, index: int) -> dict[str, Any]:
        title = ", ".join(f"{name}={value}" for name, value in self._sets[index].items())[:200]
        view: dict[str, Any] = await self._ctx.child(
            self._params.workload, {**self._params.base, **self._sets[index]}, key=str(index), title=title
        )
        return view

    async def _finished(self, index: int, view: dict[str, Any]) -> None:
        members = ("status", "result", "result_blob", "error", "metrics", "started_at", "finished_at")
        row = {"index": index, "run": view["id"], "params": self._sets[index]} | {m: view.get(m) for m in members}
        self._rows[index] = row
        self._ctx.row("sweep", index + 1, row, row_id=view["id"])
        self._ctx.progress(len(self._rows), len(self._sets), unit="runs")
        if view["status"] != "completed":
            self._ctx.log(f"child {index} {view['status']}", level="warning", logger="sweep", data=row["error"])
            if self._params.on_failure == "stop" and not self._stopped:
                self._stopped = True
                await asyncio.gather(*(self._ctx.cancel_child(str(other)) for other in self._running.values()))

    def _report(self) -> dict[str, Any]:
        table = [self._rows[index] for index in sorted(self._rows)]
        counts: dict[str, int] = {}
        for row in table:
            counts[row["status"]] = counts.get(row["status"], 0) + 1
        if self._stopped:
            first = next(row for row in table if row["status"] == "failed" or row["status"] == "cancelled")
            raise Failure(
                "child_failed", f"Child {first['index']} {first['status']}; the sweep was stopped.", run=first["run"],
                counts=counts,
            )  # fmt: skip
        return {"workload": self._params.workload, "counts": counts, "table": table}

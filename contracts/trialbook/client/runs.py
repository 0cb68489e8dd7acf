"""Runs: submit them, find them, wait for them, tell them what to do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

from trialbook.client.observations import Observations
from trialbook.client.pages import every
from trialbook.client.results import Results
from trialbook.domain.run.spec import Isolation, Priority, Retry
from trialbook.domain.run.state import TERMINAL
from trialbook.errors import TimedOut
from trialbook.views import RunView

LONGEST_WAIT_S = 20.0


class Runs(Observations):
    """The runs of the client's workspace. Everywhere ``run`` is a run's id."""

    async def submit(
        self,
        workload: str,
        params: dict[str, Any] | None = None,
        *,
        name: str | None = None,
        title: str = "",
        labels: dict[str, str] | None = None,
        pool: str | None = None,
        priority: Priority = "normal",
        isolation: Isolation | None = None,
        timeout_s: float | None = None,
        retry: Retry | None = None,
        seed: int = 0,
        inputs: dict[str, str] | None = None,
        start: bool = True,
        sweep: dict[str, Any] | None = None,
        key: str | None = None,
    ) -> RunView:
        """Order a run; when this returns, the order is in the ledger.

            run = await client.runs.submit("noop", {"echo": 3}, labels={"team": "a"})

        ``name`` is unique in the workspace (``Conflict`` when it is taken). ``inputs`` maps a name that the workload
        knows to the sha256 or file id of uploaded bytes. ``sweep`` is ``{"grid": {param: [values]}}`` or
        ``{"list": [params, ...]}``: one child run for each. ``start=False`` leaves the run in status ``created`` until
        ``start``. The request is repeated after a lost connection without creating a second run; with a ``key`` of
        your own this holds over restarts of your program too.
        """
        order: dict[str, Any] = {"workload": workload, "params": params or {}, "priority": priority, "seed": seed}
        optional = {
            "name": name, "title": title, "labels": labels, "pool": pool, "isolation": isolation, "retry": retry,
            "timeout_s": timeout_s, "inputs": inputs, "sweep": sweep,
        }  # fmt: skip
        order.update({key_: value for key_, value in optional.items() if value})
        if not start:
            order["start"] = False
        return await self._transport.post("/v1/runs", RunView, order, key=key)

    async def get(self, run: str, *, as_of: int | str = "") -> RunView:
        """One run. ``as_of`` looks back: a ledger sequence or an RFC 3339 time. Raises ``NotFound``."""
        return await self._transport.get(f"/v1/runs/{run}", RunView, {"as_of": as_of}, consistent=not as_of)

    async def page(
        self,
        *,
        status: Sequence[str] = (),
        workload: str = "",
        labels: dict[str, str] | None = None,
        search: str = "",
        parent: str = "",
        dialect: str = "",
        created_after: str = "",
        created_before: str = "",
        order: str = "created_desc",
        limit: int = 50,
        cursor: str | int | None = None,
        count: bool = False,
        brief: bool = False,
        as_of: int | str = "",
    ) -> Results[RunView]:
        """One page of runs, newest first; filters are combined with and.

        ``search`` is a part of id, name, title or workload; times are RFC 3339; ``count`` asks for the ``total``;
        ``brief`` leaves out params, result, steps and extra, for quick lists; ``as_of`` looks back.
        """
        query = {
            "status": list(status), "workload": workload, "q": search, "parent": parent, "dialect": dialect,
            "label": [f"{name}:{value}" for name, value in (labels or {}).items()], "created_after": created_after,
            "created_before": created_before, "order": order, "limit": limit, "cursor": cursor, "count": count or None,
            "brief": brief or None, "as_of": as_of,
        }  # fmt: skip
        return await self._transport.get("/v1/runs", Results[RunView], query, consistent=not as_of)

    def iterate(
        self,
        *,
        status: Sequence[str] = (),
        workload: str = "",
        labels: dict[str, str] | None = None,
        search: str = "",
        parent: str = "",
        created_after: str = "",
        created_before: str = "",
        order: str = "created_desc",
        brief: bool = False,
    ) -> AsyncIterator[RunView]:
        """All runs that match, over as many pages as there are; filters as in ``page``."""
        return every(
            lambda cursor: self.page(
                status=status, workload=workload, labels=labels, search=search, parent=parent,
                created_after=created_after, created_before=created_before, order=order, limit=200, cursor=cursor,
                brief=brief,
            )
        )  # fmt: skip

    def children(self, run: str, *, status: Sequence[str] = ()) -> AsyncIterator[RunView]:
        """The child runs of a sweep, in the order of their creation."""
        path = f"/v1/runs/{run}/children"
        query = {"status": list(status), "limit": 200}
        return every(lambda cursor: self._transport.get(path, Results[RunView], {**query, "cursor": cursor}))

    async def wait(self, run: str, timeout_s: float | None = None) -> RunView:
        """The run once it has completed, failed or was cancelled. Raises ``TimedOut`` after ``timeout_s`` seconds."""
        loop = asyncio.get_running_loop()
        deadline = None if timeout_s is None else loop.time() + timeout_s
        while True:
            wait_s = LONGEST_WAIT_S if deadline is None else min(LONGEST_WAIT_S, max(0.0, deadline - loop.time()))
            view = await self._transport.get(f"/v1/runs/{run}", RunView, {"wait": round(wait_s, 3)})
            if view.status in TERMINAL:
                return view
            if deadline is not None and loop.time() >= deadline:
                raise TimedOut("still_active", f"Run {run} is {view.status} after {timeout_s:g} s.", status=view.status)

    async def start(self, run: str) -> RunView:
        """Queue a run that was submitted with ``start=False``."""
        return await self._command(run, "start")

    async def cancel(self, run: str, reason: str = "") -> RunView:
        """End a run: at once when it waits, within a second when it runs. Raises ``Conflict`` when it has finished."""
        return await self._command(run, "cancel", {"reason": reason} if reason else None)

    async def pause(self, run: str) -> RunView:
        """Stand still: at once when it waits, at its next checkpoint when it runs."""
        return await self._command(run, "pause")

    async def resume(self, run: str) -> RunView:
        """Go on with a paused run, from its last checkpoint."""
        return await self._command(run, "resume")

    async def retry(self, run: str) -> RunView:
        """Queue a failed or cancelled run again; completed steps and recorded effects are not repeated."""
        return await self._command(run, "retry")

    async def replay(self, run: str, key: str | None = None) -> RunView:
        """Execute an ended run again with its recorded effects only; raises ``Conflict`` for one that has not ended.

        This is a new run; its result is ``{equal, divergence, replay_of, network}``.
        """
        return await self._transport.post(f"/v1/runs/{run}/replay", RunView, None, key=key)

    async def delete(self, run: str) -> None:
        """Take an ended run out of the lists and free its name; its facts stay in the ledger."""
        await self._transport.delete(f"/v1/runs/{run}")

    async def _command(self, run: str, action: str, body: Any = None) -> RunView:
        return await self._transport.post(f"/v1/runs/{run}/{action}", RunView, body)

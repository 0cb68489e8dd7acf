"""What a run has said and done: facts, log lines, metrics, rows, steps, artifacts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import msgspec

from trialbook.client.following import Following
from trialbook.client.pages import every
from trialbook.client.results import ArtifactView, Fact, Results
from trialbook.client.transfer import Download, save
from trialbook.client.transport import unreachable
from trialbook.domain.run.state import TERMINAL, Step
from trialbook.errors import NotFound
from trialbook.queries import PAGE_LIMIT, LogPage, LogView, MetricPoint, RowView
from trialbook.views import RunView


class Observations(Following):
    """Questions about one run, each with its id as ``run``. Only reading: everything here may be repeated at will."""

    async def facts(self, run: str, *, after: int = 0, up_to: int = 0, limit: int = 100) -> Results[Fact]:
        """One page of the run's facts in the order of the ledger; ``up_to`` 0: no upper end."""
        query = {"after": after, "up_to": up_to, "limit": limit}
        return await self._transport.get(f"/v1/runs/{run}/facts", Results[Fact], query)

    def iterate_facts(self, run: str, *, after: int = 0, up_to: int = 0) -> AsyncIterator[Fact]:
        """All facts of the run: its whole history, as it was decided."""
        return every(lambda cursor: self.facts(run, after=int(cursor or after), up_to=up_to, limit=PAGE_LIMIT))

    async def logs(
        self,
        run: str,
        *,
        after: int | None = None,
        before: int | None = None,
        since: str = "",
        level: str = "",
        logger: str = "",
        step: str = "",
        contains: str = "",
        attempt: int = 0,
        limit: int = 100,
        at_least_signals: int = 0,
    ) -> LogPage:
        """One page of log lines, always ascending: the newest ``limit``, or those after or before a cursor.

        ``since``: an RFC 3339 time; ``level``: the least one; ``contains``: a part of the message; ``attempt`` 0: all;
        ``at_least_signals``: wait until signals up to this sequence are stored.
        """
        query = {
            "cursor": after, "before": before, "since": since, "level": level, "logger": logger, "step": step,
            "q": contains, "attempt": attempt, "limit": limit, "at_least_signals": at_least_signals or None,
        }  # fmt: skip
        return await self._transport.get(f"/v1/runs/{run}/logs", LogPage, query)

    async def iterate_logs(
        self, run: str, *, after: int = 0, level: str = "", logger: str = "", step: str = "", contains: str = ""
    ) -> AsyncIterator[LogView]:
        """All lines there are now, from the first (or the one after ``after``) to the last; filters as in ``logs``.

        Of a run that has ended that is every line it has said, also when the last ones are still being stored.
        """
        at_least_signals = 0
        while True:
            page = await self.logs(
                run, after=after, level=level, logger=logger, step=step, contains=contains, limit=PAGE_LIMIT,
                at_least_signals=at_least_signals,
            )  # fmt: skip
            for line in page.items:
                yield line
                after = line.cursor
            if page.has_more and page.items:
                continue
            if page.complete or at_least_signals:
                return
            view = await self._transport.get(f"/v1/runs/{run}", RunView)
            if view.status not in TERMINAL:
                return
            at_least_signals = view.signal_sequence

    async def metrics(
        self, run: str, *, name: str = "", after: int | None = None, limit: int = 1000, max_points: int = 0
    ) -> Results[MetricPoint]:
        """One page of measurements; ``max_points`` thins every metric evenly, for drawing."""
        query = {"name": name, "cursor": after, "limit": limit, "max_points": max_points}
        return await self._transport.get(f"/v1/runs/{run}/metrics", Results[MetricPoint], query)

    def iterate_metrics(self, run: str, *, name: str = "") -> AsyncIterator[MetricPoint]:
        """All measurements of the run in the order of their emission; ``name`` empty: of all metrics."""
        return every(lambda cursor: self.metrics(run, name=name, after=None if cursor is None else int(cursor)))

    async def rows(
        self, run: str, kind: str, *, attempt: int = 0, after_index: int = 0, limit: int = 1000
    ) -> Results[RowView]:
        """One page of the rows of the table ``kind``; ``attempt`` 0: the latest one's."""
        query = {"attempt": attempt, "after_index": after_index, "limit": limit}
        return await self._transport.get(f"/v1/runs/{run}/rows/{kind}", Results[RowView], query)

    def iterate_rows(self, run: str, kind: str, *, attempt: int = 0) -> AsyncIterator[RowView]:
        """All rows of a table that the run has built."""
        return every(lambda cursor: self.rows(run, kind, attempt=attempt, after_index=int(cursor or 0)))

    async def steps(self, run: str) -> dict[str, Step]:
        """The run's steps by name, with status, times and results."""
        return await self._transport.get(f"/v1/runs/{run}/steps", dict[str, Step])

    async def result(self, run: str) -> Any:
        """What the workload returned, however large. Raises ``NotFound`` while there is nothing."""
        response = await self._transport.send("GET", f"/v1/runs/{run}/result", query=self._transport.at_least())
        return msgspec.json.decode(response.content)

    async def artifacts(self, run: str) -> list[ArtifactView]:
        """Everything the run stored as a file, by name."""
        return (await self._transport.get(f"/v1/runs/{run}/artifacts", Results[ArtifactView])).items

    async def download(self, run: str, artifact: str, to: Path | str) -> Path:
        """Fetch an artifact into the file ``to`` (a directory keeps its name) and return the path.

        It is streamed, goes on after a lost connection where it was, and is put in place only when its sha256 is right.
        """
        found, pieces = await self._artifact(run, artifact)
        return await save(pieces, Path(to), found.name)

    async def read_artifact(self, run: str, artifact: str) -> bytes:
        """A small artifact as bytes, its sha256 checked."""
        _, pieces = await self._artifact(run, artifact)
        return b"".join([piece async for piece in pieces])

    async def package(self, run: str, to: Path | str) -> Path:
        """Everything about a run as one ZIP archive (RO-Crate) in the file ``to``; see ``trialbook package --verify``.

        Raises ``Unavailable`` when the connection is lost; a package is made anew for every request.
        """
        try:
            async with self._transport.stream(f"/v1/runs/{run}/package", live=True) as response:
                return await save(response.aiter_bytes(), Path(to), f"run-{run}.zip")
        except httpx.TransportError as error:
            raise unreachable(self._transport.base_url, error) from error

    async def _artifact(self, run: str, name: str) -> tuple[ArtifactView, AsyncIterator[bytes]]:
        known = await self.artifacts(run)
        for found in known:
            if found.name == name:
                return found, Download(
                    self._transport, f"/v1/runs/{run}/artifacts/{quoted(name)}", found.sha256
                ).chunks()
        names = ", ".join(item.name for item in known) or "none"
        raise NotFound("artifact_not_found", f"Run {run} has no artifact {name!r}; it has: {names}.")


def quoted(name: str) -> str:
    """A name as part of a URL path; slashes stay."""
    return quote(name, safe="/")

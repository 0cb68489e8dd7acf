"""``AsyncClient``: the whole API for asynchronous programs. ``Client`` is the same one, waited for."""

from __future__ import annotations

import os
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import httpx
import msgspec

from trialbook.client.erasures import Erasures
from trialbook.client.ledger import Ledger
from trialbook.client.proofs import Proofs
from trialbook.client.results import Comparison, Results
from trialbook.client.runs import Runs
from trialbook.client.stored import Datasets, Files, Models
from trialbook.client.transport import Transport, decoded
from trialbook.client.workspaces import Workspaces
from trialbook.errors import Invalid
from trialbook.presence import RunnerInfo
from trialbook.queries import SqlResult
from trialbook.views import WorkloadView

DEFAULT_URL = "http://127.0.0.1:8000"
URL, TOKEN, WORKSPACE = "TRIALBOOK_URL", "TRIALBOOK_TOKEN", "TRIALBOOK_WORKSPACE"
SQL_SPARE_S = 5.0


class AsyncClient:
    """A gateway's API.

        async with AsyncClient() as client:
            run = await client.runs.submit("noop", {"echo": 3})
            run = await client.runs.wait(run.id)
            print(run.status, run.result)

    What the service refuses is raised as a class of ``trialbook.errors``: ``NotFound``, ``Conflict``, ``Invalid`` ...
    with a stable ``code``. Lost connections and a restarting service are waited for (``patience_s``) wherever a repeat
    does no harm, which is everywhere: creating requests carry an ``Idempotency-Key``.
    """

    runs: Runs
    """Submit, find, wait, cancel, follow; logs, metrics, artifacts."""
    files: Files
    datasets: Datasets
    models: Models
    workspaces: Workspaces
    ledger: Ledger
    """Facts of the whole workspace, past and live."""
    proofs: Proofs
    """Checkpoints of the ledger, and proofs."""
    erasures: Erasures
    """Destroy the keys of personal data."""

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        workspace: str | None = None,
        data_subject: str = "",
        patience_s: float = 15.0,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        """Without ``url``, ``token``, ``workspace``: ``TRIALBOOK_URL`` (default http://127.0.0.1:8000),
        ``TRIALBOOK_TOKEN`` and ``TRIALBOOK_WORKSPACE`` (default the gateway's). ``http``: your own connection pool.

        ``data_subject``: whose personal data everything holds that this client creates; it can be erased later.
        """
        base = url or os.environ.get(URL) or DEFAULT_URL
        if urlsplit(base).scheme not in {"http", "https"} or not urlsplit(base).hostname:
            raise Invalid("invalid_url", f"{base!r} is not the address of a gateway; write http://host:port.")
        self._transport = Transport(
            base,
            token=os.environ.get(TOKEN, "") if token is None else token,
            workspace=workspace or os.environ.get(WORKSPACE, ""),
            data_subject=data_subject,
            patience_s=patience_s,
            http=http,
        )
        self.runs = Runs(self._transport)
        self.files = Files(self._transport)
        self.datasets = Datasets(self._transport)
        self.models = Models(self._transport)
        self.workspaces = Workspaces(self._transport)
        self.ledger = Ledger(self._transport)
        self.proofs = Proofs(self._transport)
        self.erasures = Erasures(self._transport)

    @property
    def url(self) -> str:
        """Address of the gateway, without a slash at its end."""
        return self._transport.base_url

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()

    async def workloads(self) -> list[WorkloadView]:
        """What can be run, each with the JSON Schema of its parameters (``params_schema``)."""
        return (await self._transport.get("/v1/workloads", Results[WorkloadView], consistent=False)).items

    async def workload(self, name: str) -> WorkloadView:
        """One workload. Raises ``NotFound``, naming those there are."""
        return await self._transport.get(f"/v1/workloads/{name}", WorkloadView, consistent=False)

    async def runners(self) -> list[RunnerInfo]:
        """Who executes runs: state, slots, plugins and their troubles."""
        return (await self._transport.get("/v1/runners", Results[RunnerInfo], consistent=False)).items

    async def compare(self, metric: str, runs: Sequence[str], *, max_points: int = 200) -> list[Comparison]:
        """One metric over many runs: last, least, greatest and evenly chosen points of each."""
        query = {"metric": metric, "run": list(runs), "max_points": max_points}
        return await self._transport.get("/v1/metrics/compare", list[Comparison], query)

    async def sql(
        self, statement: str, params: Sequence[Any] = (), *, max_rows: int = 10_000, timeout_s: float = 10.0
    ) -> SqlResult:
        """One SELECT over the workspace's tables; ``?`` takes the ``params`` in order.

        result = await client.sql("SELECT status, count(*) AS n FROM runs GROUP BY ALL")
        for row in result.rows: ...
        """
        response = await self._sql(statement, params, max_rows, timeout_s, "application/json")
        return decoded(response, SqlResult)

    async def sql_bytes(
        self,
        statement: str,
        params: Sequence[Any] = (),
        *,
        media_type: str = "application/vnd.apache.arrow.stream",
        max_rows: int = 10_000,
        timeout_s: float = 10.0,
    ) -> bytes:
        """As ``sql``, in another form: Arrow stream, Parquet (``application/vnd.apache.parquet``) or ``text/csv``."""
        return (await self._sql(statement, params, max_rows, timeout_s, media_type)).content

    async def _sql(
        self, statement: str, params: Sequence[Any], max_rows: int, timeout_s: float, media_type: str
    ) -> httpx.Response:
        body = {"sql": statement, "params": list(params), "max_rows": max_rows, "timeout_s": timeout_s}
        content = msgspec.json.encode({**body, **self._transport.at_least()})
        return await self._transport.send(
            "POST",
            "/v1/sql",
            content=lambda: content,
            headers={"Accept": media_type, "Content-Type": "application/json"},
            patience_of_read_s=timeout_s + SQL_SPARE_S,
            repeat=True,
        )

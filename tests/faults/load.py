"""A client that never gives up, and an auditor who believes only the ledger."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import httpx

from trialbook import subjects
from trialbook.aggregates import RUN
from trialbook.codec import decode_event, fact_of
from trialbook.domain.run import events as e
from trialbook.ids import UUIDv7Source
from trialbook.log.bulk import read_stream
from trialbook_deploy.stack import Stack

VERDICTS = (e.Completed, e.Failed, e.Cancelled)
PATIENCE_S = 60.0
IDS = UUIDv7Source()


class Api:
    """HTTP with the patience of a good client: the same request with the same key until it is answered."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._base = stack.url
        self._http = httpx.AsyncClient(base_url=self._base, timeout=15)
        self.acknowledged: dict[str, int] = {}
        """Run id -> the sequence the service promised."""
        self.outage_s = 0.0
        """The longest time without an answer."""

    async def close(self) -> None:
        await self._http.aclose()

    async def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        loop = asyncio.get_running_loop()
        start = loop.time()
        while True:
            try:
                answer = await self._http.request(method, path, **options)
                if answer.status_code < 500:
                    self.outage_s = max(self.outage_s, loop.time() - start)
                    return answer
                problem = f"{answer.status_code} {answer.text}"
            except httpx.HTTPError as error:
                problem = repr(error)
            assert loop.time() - start < PATIENCE_S, f"{method} {path}: {problem}"
            await asyncio.sleep(0.05)

    async def submit(self, workload: str, params: dict[str, Any], **order: Any) -> str:
        body = {"workload": workload, "params": params, **order}
        answer = await self.request("POST", "/v1/runs", json=body, headers={"Idempotency-Key": IDS.new()})
        assert answer.status_code in (200, 201, 202), answer.text
        run = answer.json()
        self.acknowledged[run["id"]] = int(answer.headers["Trialbook-Sequence"])
        return str(run["id"])

    async def get(self, run: str) -> dict[str, Any]:
        answer = await self.request("GET", f"/v1/runs/{run}")
        assert answer.status_code == 200, answer.text
        view: dict[str, Any] = answer.json()
        return view

    async def finished(self, run: str, within_s: float = PATIENCE_S) -> dict[str, Any]:
        async with asyncio.timeout(within_s):
            while True:
                view = await self.get(run)
                if view["status"] in ("completed", "failed", "cancelled"):
                    return view
                await asyncio.sleep(0.05)

    async def logs(self, run: str) -> list[dict[str, Any]]:
        """All lines over REST, page by page."""
        lines: list[dict[str, Any]] = []
        cursor = 0
        while True:
            answer = await self.request("GET", f"/v1/runs/{run}/logs", params={"cursor": cursor, "limit": 500})
            assert answer.status_code == 200, answer.text
            page = answer.json()
            lines += page["items"]
            if not page["has_more"]:
                return lines
            cursor = page["next_cursor"]

    async def all_logs(self, run: str) -> list[dict[str, Any]]:
        """The lines of a run that has ended, once the tables have the last one: a stream may be ahead of them."""
        async with asyncio.timeout(PATIENCE_S):
            while not (await self.request("GET", f"/v1/runs/{run}/logs")).json()["complete"]:
                await asyncio.sleep(0.05)
        return await self.logs(run)

    async def stream(self, run: str) -> AsyncIterator[dict[str, Any]]:
        """Server-sent events of a run to their end, reconnecting with the last event id."""
        last, ended = "", False
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PATIENCE_S
        while not ended:
            assert loop.time() < deadline, "the stream never ended"
            try:
                async for id_, message in self._events(run, last):
                    last, ended = id_ or last, message["type"] == "status" and message["data"]["final"]
                    yield message
                    deadline = loop.time() + PATIENCE_S
                    if ended:
                        return
            except httpx.HTTPError:
                pass
            await asyncio.sleep(0.05)

    async def _events(self, run: str, last: str) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        headers = {"Last-Event-ID": last} if last else {}
        async with self._http.stream("GET", f"/v1/runs/{run}/stream", headers=headers) as answer:
            if answer.status_code >= 500:
                return
            assert answer.status_code == 200, await answer.aread()
            id_, data = "", ""
            async for line in answer.aiter_lines():
                if line.startswith("id:"):
                    id_ = line[3:].strip()
                elif line.startswith("data:"):
                    data += line[5:].strip()
                elif not line and data:
                    yield id_, json.loads(data)
                    id_, data = "", ""


async def ledger(stack: Stack) -> dict[str, list[tuple[int, Any, str]]]:
    """Facts of every run of the workspace under load, straight from the stream: id -> (sequence, fact, time)."""
    runs: dict[str, list[tuple[int, Any, str]]] = {}
    async for batch in read_stream(stack.nats_url, "FACTS", [subjects.facts_of("main", "run")], 0):
        for message in batch:
            event = decode_event(message.data)
            run = subjects.aggregate_of(event).id
            runs.setdefault(run, []).append((message.sequence, fact_of(event), event.time))
    return runs


async def audit(api: Api, stack: Stack) -> None:
    """No acknowledged fact is lost, every run has one verdict, and the tables say what the ledger says."""
    runs = await ledger(stack)
    for run, sequence in api.acknowledged.items():
        assert run in runs, f"the acknowledged run {run} is not in the ledger"
        assert sequence in {s for s, _, _ in runs[run]}, f"fact {sequence} of run {run} is not in the ledger"
    for run, facts in runs.items():
        verdicts = [fact for _, fact, _ in facts if isinstance(fact, VERDICTS)]
        assert len(verdicts) == 1, f"run {run} has {len(verdicts)} verdicts: {facts}"
        state = RUN.decider.fold((fact, at) for _, fact, at in facts)
        view = await api.get(run)
        assert (view["status"], view["attempt"], view["sequence"]) == (state.status, state.attempt, facts[-1][0])
    counted = Counter(type(fact).__name__ for facts in runs.values() for _, fact, _ in facts)
    assert counted["Submitted"] >= len(api.acknowledged)

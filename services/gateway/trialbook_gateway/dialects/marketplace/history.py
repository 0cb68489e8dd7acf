"""The rows of an experiment: from the artifact that its run stored, else from what the projector has of it."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import msgspec

from trialbook.queries import PAGE_LIMIT, Page, RunLogs, RunRows
from trialbook_gateway.dialects.marketplace.experiments import Experiment
from trialbook_gateway.dialects.marketplace.logs import decode_page
from trialbook_gateway.services import Caller, Services
from trialbook_marketplace.rows import EXPERIMENT, History, Row

ARTIFACT = "history.ndjson.gz"
T = TypeVar("T")
_page = msgspec.json.Decoder(Page).decode


class Histories:
    """Reads histories and computes on them in threads, a few at a time."""

    def __init__(self, services: Services, at_once: int) -> None:
        self._services = services
        self._slots = asyncio.Semaphore(at_once)

    async def compute(self, caller: Caller, experiment: Experiment, work: Callable[[History], T]) -> T:
        """``work`` on the experiment's history as it is now."""
        async with self._slots:
            if (stored := experiment.artifacts.get(ARTIFACT)) is not None and experiment.finished:
                packed = b"".join([chunk async for chunk in self._services.blobs.get(stored.sha256)])
                return await asyncio.to_thread(lambda: work(unpack(packed)))
            history = await self._projected(caller, experiment)
            return await asyncio.to_thread(work, history)

    async def _projected(self, caller: Caller, experiment: Experiment) -> History:
        # Rows come while this reads. Logs speak of actions, actions of agents: read in this order, whatever one of
        # them names is there, as it would not be if agents were read before the actions that came in between.
        logs = [row async for row in self._logs(caller, experiment)]
        actions = [row async for row in self._rows(caller, experiment, "action")]
        return History([row async for row in self._rows(caller, experiment, "agent")], actions, logs)

    async def _rows(self, caller: Caller, experiment: Experiment, kind: str) -> AsyncIterator[Row]:
        after = 0
        while True:
            query = RunRows(
                id=experiment.id, kind=kind, attempt=experiment.attempt, after_index=after, limit=PAGE_LIMIT,
                at_least=experiment.sequence, at_least_signals=experiment.signals,
            )  # fmt: skip
            page = _page(await self._ask(caller, query))
            for row in page.items:
                yield {"index": row["index"], "id": row["id"], "created_at": row["time"], "data": row["data"]}
            if page.next_cursor is None:
                return
            after = int(page.next_cursor)

    async def _logs(self, caller: Caller, experiment: Experiment) -> AsyncIterator[Row]:
        after, index = 0, 0
        while True:
            query = RunLogs(
                id=experiment.id, after=after, limit=PAGE_LIMIT, attempt=experiment.attempt,
                at_least_signals=experiment.signals,
            )  # fmt: skip
            page = decode_page(await self._ask(caller, query))
            for line in page.items:
                index += 1
                agent = None if line.logger == EXPERIMENT else line.logger
                entry = {
                    "level": line.level, "name": line.logger, "message": line.message,
                    "data": None if line.data is None else msgspec.json.decode(line.data),
                    "metadata": {"agent_id": agent} if agent else None,
                }  # fmt: skip
                yield {"index": index, "id": f"{experiment.id}-{line.cursor:x}", "created_at": line.time, "data": entry}
            if not page.has_more:
                return
            after = page.items[-1].cursor

    async def _ask(self, caller: Caller, query: RunRows | RunLogs) -> bytes:
        answer = await self._services.ask.ask(caller.workspace, query, self._services.settings.ask_timeout_s)
        return bytes(answer.result or b"null")


def pack(history: History) -> bytes:
    """The form of the artifact."""
    encode = msgspec.json.Encoder().encode
    kinds = (("agent", history.agents), ("action", history.actions), ("log", history.logs))
    lines = b"".join(encode({"kind": kind, **row}) + b"\n" for kind, rows in kinds for row in rows)
    return gzip.compress(lines, mtime=0)


def unpack(packed: bytes) -> History:
    """The history in the artifact: one JSON object per line, ``kind`` beside the row's members."""
    history = History()
    write: dict[str, Callable[[Row], None]] = {"agent": history.agent, "action": history.action, "log": history.log}
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    for line in gzip.decompress(packed).splitlines():
        row = decode(line)
        write[row.pop("kind")](row)
    return history

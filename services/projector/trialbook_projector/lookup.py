"""Look up runs that are not remembered, many in one statement: who asks while a look-up runs shares the next one."""

from __future__ import annotations

import asyncio
from typing import Any

from trialbook_projector.live import Live
from trialbook_projector.queries.reading import run_not_found
from trialbook_projector.readers import one_state
from trialbook_projector.tables import find
from trialbook_projector.tables.cache import LatestProgress, RunEntry
from trialbook_projector.tables.facts import run_key

Found = tuple[RunEntry, LatestProgress | None]
MAX_BATCH = 256


class Lookup:
    """Batched ``run.get`` by id. Lives on the event loop."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._asked: dict[str, asyncio.Future[Found | None]] = {}  # bounded by the tasks that wait for them
        self._worker: asyncio.Task[None] | None = None

    async def run(self, workspace: str, id_: str) -> Found:
        """A run and its progress. Raises ``NotFound`` (code ``run_not_found``)."""
        key = run_key(workspace, id_)
        caches = self._live.tables.caches
        entry = caches.runs.get(key)
        found: Found | None
        if entry is not None:
            found = entry, caches.progress.get(key)
        elif caches.runs.complete or "/" in id_:
            found = None
        else:
            future = self._asked.get(key)
            if future is None:
                future = self._asked[key] = asyncio.get_running_loop().create_future()
            if self._worker is None:
                self._worker = asyncio.create_task(self._work())
            found = await asyncio.shield(future)
        if found is None or found[0].state.deleted:
            raise run_not_found(id_)
        return found

    async def _work(self) -> None:
        try:
            while self._asked:
                batch = {key: self._asked.pop(key) for key in list(self._asked)[:MAX_BATCH]}
                try:
                    found = await self._read(list(batch))
                except Exception as error:  # noqa: BLE001 -- handed to everybody who asked
                    for future in batch.values():
                        future.set_exception(error)
                    continue
                for key, future in batch.items():
                    future.set_result(found.get(key))
        finally:
            self._worker = None

    async def _read(self, keys: list[str]) -> dict[str, Found]:
        tables, positions = self._live.tables, self._live.watermarks.positions

        def read(cursor: Any) -> dict[str, Found]:
            with one_state(cursor):
                entries = find.runs(cursor, keys)
                progress = find.progress(cursor, [e.id for e in entries])
            return {k: (e, progress.get(k)) for e in entries for k in (run_key(e.workspace, e.id),)}

        found = await tables.readers.run(read)
        if tables is self._live.tables and positions is self._live.watermarks.positions:
            for key, (entry, latest) in found.items():
                if key not in tables.caches.runs:
                    tables.caches.put_run(key, entry, latest)
        return found

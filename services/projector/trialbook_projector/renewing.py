"""After an erasure the tables are written anew: what was deleted from a database file stays in its free pages."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from trialbook.domain.datasubject import Shredded
from trialbook.errors import Refusal
from trialbook_projector import versions
from trialbook_projector.live import Live

log = logging.getLogger(__name__)
MARK = "RENEWED"
"""A file with the sequence of the last erasure that the current tables were written anew after."""
TOGETHER_S = 1.0
"""Erasures that are carried out one after another cost one renewal."""
AGAIN_S = 5.0


class Renewer:
    """Notices erasures and has the tables rebuilt. ``rebuild`` swaps a new file in; kept ones are removed then."""

    def __init__(self, live: Live, folder: Path, rebuild: Callable[[], Awaitable[object]]) -> None:
        self._live, self._folder, self._rebuild = live, folder, rebuild
        self._wake = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def erased(self) -> None:
        """An erasure was applied; from any thread."""
        self._loop.call_soon_threadsafe(self._wake.set)

    async def run(self) -> None:
        """Until cancelled. An erasure that an earlier process did not get to is made up for."""
        self._wake.set()
        while True:
            await self._wake.wait()
            await asyncio.sleep(TOGETHER_S)
            self._wake.clear()
            try:
                await self._renew()
            except Refusal as refusal:  # a rebuild that somebody ordered is running, or the ledger does not answer
                log.warning("the tables wait to be written anew after an erasure: %s", refusal.detail)
                await asyncio.sleep(AGAIN_S)
                self._wake.set()

    async def _renew(self) -> None:
        look = partial(versions.last_erasure, types=frozenset({Shredded.TYPE}))
        last = await self._live.tables.sql.run(look)
        if last <= self._renewed():
            return
        await self._rebuild()
        for version in versions.kept(self._folder):
            versions.discard(self._folder / version.file)
        (self._folder / MARK).write_text(str(last))
        log.info("tables written anew after the erasure at %d", last)

    def _renewed(self) -> int:
        try:
            return int((self._folder / MARK).read_text())
        except (FileNotFoundError, ValueError):
            return 0

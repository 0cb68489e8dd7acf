"""What is to be done once after a start: the first session's own datasets, and runs that lost their session."""

from __future__ import annotations

import asyncio
import logging

from trialbook.algomancy import Profile
from trialbook.errors import Refusal
from trialbook.ids import derived_id
from trialbook.tasks import ended
from trialbook_gateway.auth import ANONYMOUS
from trialbook_gateway.dialects.algomancy.datasets import Datasets
from trialbook_gateway.dialects.algomancy.loads import Loads
from trialbook_gateway.dialects.algomancy.mirror import Mirror
from trialbook_gateway.dialects.algomancy.scenarios import Scenarios
from trialbook_gateway.dialects.algomancy.sessions import OURS, Sessions
from trialbook_gateway.problems import HttpRefusal
from trialbook_gateway.services import Caller

log = logging.getLogger(__name__)
RETRY_S = 1.0


class Beginning:
    """Begins in the background with the gateway; every step is harmless when another gateway does it too."""

    def __init__(
        self,
        profile: Profile,
        mirror: Mirror,
        sessions: Sessions,
        datasets: Datasets,
        scenarios: Scenarios,
        loads: Loads,
    ) -> None:
        self._profile, self._mirror, self._sessions, self._datasets = profile, mirror, sessions, datasets
        self._scenarios, self._loads = scenarios, loads
        self._task: asyncio.Task[None] | None = None
        self._first = ""

    def begin(self) -> None:
        """Start, unless it was started before."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="algomancy-beginning")
            self._task.add_done_callback(_told)

    async def close(self) -> None:
        """Stop."""
        await ended(self._task)
        await self._mirror.close()

    async def ready(self, session: str, wait_s: float) -> None:
        """Wait for the datasets of the first session, at most ``wait_s`` seconds; for any other not at all."""
        assert self._task is not None, "begun with the gateway"
        if not self._task.done() and self._first in ("", session):
            await asyncio.wait({self._task}, timeout=wait_s)

    async def _run(self) -> None:
        await self._mirror.start()
        while True:
            try:
                self._first = await self._sessions.first()
                for session in await self._sessions.removed():
                    await self._sessions.end_runs(session, OURS)
                await self._initial(self._first)
            except HttpRefusal as refusal:
                log.error("the profile's own datasets cannot be made: %s", refusal.detail)  # noqa: TRY400
                return
            except Refusal as refusal:
                log.warning("%s; trying again", refusal.detail)
                await asyncio.sleep(RETRY_S)
            else:
                return

    async def _initial(self, session: str) -> None:
        if self._profile.datasets is dict or session not in await self._sessions.names():
            return
        caller = Caller(ANONYMOUS, session, "", "")
        loaded = await self._loads.initial(caller, derived_id("algomancy", "initial", session))
        for made in loaded.result.datasets:
            key = made.metadata.name
            id_ = derived_id("algomancy", "initial", session, key)
            if not await self._datasets.exists(caller, id_):  # or it was there, and somebody deleted it since
                await self._datasets.put(caller, key, loaded.content(made), new_id=id_)
                await self._scenarios.create_auto(caller, key)


def _told(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("the algomancy API did not begin as it should", exc_info=error)

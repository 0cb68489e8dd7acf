"""The facts of one attempt: one after another, fenced by the attempt number, repeated while the ledger is away."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from trialbook.domain.run import RunState
from trialbook.domain.run.commands import AttemptCommand
from trialbook.envelope import AggregateId, Metadata
from trialbook.errors import NotFound, Refusal, TimedOut, Unavailable
from trialbook.handle import Handler, Loaded, Outcome
from trialbook_runner.execute.failures import Stale

log = logging.getLogger(__name__)
RETRY_S = 0.25
ROOM_S = 0.003
"""Others need about a millisecond to read what is new and append."""
TALK_S = 0.02
"""How long an attempt may go on appending without leaving that much room: less than others go on trying."""


class AttemptFacts:
    """The only way by which an attempt writes to the ledger. Raises ``Stale`` once the run belongs to somebody else."""

    def __init__(
        self, handler: Handler, aggregate: AggregateId, attempt: int, meta: Metadata, known: Loaded[RunState]
    ) -> None:
        self._handler, self._meta, self._known = handler, meta, known
        self._lock = asyncio.Lock()
        self._appended_at = self._room_at = 0.0
        self.aggregate, self.attempt = aggregate, attempt

    @property
    def state(self) -> RunState:
        """The run's state after our last fact; cancel and pause requests of others may be newer."""
        return self._known.state

    async def append(self, command: AttemptCommand) -> Outcome[Any]:
        """Carry out a command. An unanswered append is repeated; a second copy is refused by the fence or harmless."""
        async with self._lock:
            await self._leave_room()
            while True:
                try:
                    outcome = await self._handler.handle(self.aggregate, command, self._meta, self._known)
                except (Unavailable, TimedOut) as error:
                    log.warning("run %s: %s; trying again", self.aggregate.id, error.detail)
                except NotFound as error:
                    raise Stale from error
                except Refusal as error:
                    if error.code == "stale_attempt":
                        raise Stale from error
                    if error.code != "contention":
                        raise
                else:
                    self._known = Loaded(outcome.state, outcome.sequence)
                    self._appended_at = asyncio.get_running_loop().time()
                    return outcome
                await asyncio.sleep(RETRY_S)

    async def _leave_room(self) -> None:
        """Others must find a moment to append to the run, or nobody could cancel one that never stops talking."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        if now - self._appended_at < ROOM_S:
            if now - self._room_at < TALK_S:
                return
            await asyncio.sleep(ROOM_S)
        self._room_at = loop.time()

    async def verify(self) -> None:
        """Read whether the attempt still owns its run. Raises ``Stale`` when it does not."""
        loaded = await self._load()
        if loaded.state.status != "running" or loaded.state.attempt != self.attempt:
            raise Stale
        async with self._lock:
            if loaded.sequence > self._known.sequence:
                self._known = loaded

    async def _load(self) -> Loaded[RunState]:
        while True:
            try:
                return await self._handler.load(self.aggregate)
            except (Unavailable, TimedOut) as error:
                log.warning("run %s: %s; trying again", self.aggregate.id, error.detail)
                await asyncio.sleep(RETRY_S)

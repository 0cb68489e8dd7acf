"""The facts of one attempt: in the order said, fenced by the attempt number, repeated while the ledger is away.

What is said while an append is under way is appended together: one compare-and-set and one wait for the disk for all.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from typing import Any

import msgspec

from trialbook.domain.run import RunState
from trialbook.domain.run.commands import AttemptCommand
from trialbook.domain.run.state import Effect
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
MAX_WAITING = 256
"""More callers wait for a place in the queue."""
MAX_GROUP = 64
MIN_GROUP = 6
"""Fewer are appended one by one: an atomic batch waits for the disk several times (2.3 ms against 0.4 ms for one)."""


class _Said(msgspec.Struct, eq=False):
    commands: Sequence[AttemptCommand]
    done: asyncio.Future[Outcome[Any]]


class AttemptFacts:
    """The only way by which an attempt writes to the ledger. Raises ``Stale`` once the run belongs to somebody else."""

    def __init__(
        self, handler: Handler, aggregate: AggregateId, attempt: int, meta: Metadata, known: Loaded[RunState]
    ) -> None:
        self._handler, self.meta = handler, meta
        self._room = asyncio.Semaphore(MAX_WAITING)
        self._said: deque[_Said] = deque()  # bounded: by the semaphore
        self._writer: asyncio.Task[None] | None = None
        self._appending = asyncio.Lock()
        self._appended_at = self._room_at = 0.0
        self.aggregate, self.attempt = aggregate, attempt
        self.effects: dict[str, Effect] = {}
        """Everything recorded so far, by key. ``state`` has no effects: it is copied for every fact."""
        self._known = self._kept(known)

    @property
    def state(self) -> RunState:
        """The run's state after our last fact; cancel and pause requests of others may be newer."""
        return self._known.state

    async def append(self, *commands: AttemptCommand) -> Outcome[Any]:
        """Carry out commands, all or none; the outcome is the last one's. An unanswered append is repeated; a second
        copy is refused by the fence or harmless.
        """
        async with self._room:
            said = _Said(commands, asyncio.get_running_loop().create_future())
            self._said.append(said)
            if self._writer is None or self._writer.done():
                self._writer = asyncio.create_task(self._write())
            return await said.done

    async def _write(self) -> None:
        """Until nothing waits. What nobody waits for any more before it was begun is left out."""
        while self._said:
            async with self._appending:
                await self._leave_room()
                size = MAX_GROUP if len(self._said) >= MIN_GROUP else 1
                group = [self._said.popleft() for _ in range(min(size, len(self._said)))]
                await self._append([said for said in group if not said.done.done()])

    async def _append(self, group: list[_Said]) -> None:
        """All are answered when this returns, or nobody waits for an answer any more."""
        while any(not said.done.done() for said in group):
            commands = [(self.aggregate, command) for said in group for command in said.commands]
            try:
                outcomes = await self._handler.handle_all(commands, self.meta, {self.aggregate: self._known})
            except (Unavailable, TimedOut) as error:
                log.warning("run %s: %s; trying again", self.aggregate.id, error.detail)
            except Refusal as error:
                if error.code != "contention":
                    await self._refuse(group, error)
                    return
            except Exception as error:  # noqa: BLE001 -- handed to every waiting caller, never swallowed
                _answer(group, error)
                return
            else:
                self._known = self._kept(outcomes[-1].loaded)
                self._appended_at = asyncio.get_running_loop().time()
                answers = iter(outcomes)
                for said in group:
                    _answer([said], [next(answers) for _ in said.commands][-1])
                return
            await asyncio.sleep(RETRY_S)

    async def _refuse(self, group: list[_Said], error: Refusal) -> None:
        """What was refused for one of several must not keep the others from happening."""
        if len(group) == 1:
            _answer(group, _for_attempt(error))
            return
        for said in group:
            await self._append([said])

    def _kept(self, known: Loaded[RunState]) -> Loaded[RunState]:
        """Move the effects out of the state."""
        if not known.state.effects:
            return known
        self.effects.update(known.state.effects)
        return msgspec.structs.replace(known, state=msgspec.structs.replace(known.state, effects={}))

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
        async with self._appending:
            self._known = self._kept(await self._load())
        if self.state.status != "running" or self.state.attempt != self.attempt:
            raise Stale

    async def _load(self) -> Loaded[RunState]:
        while True:
            try:
                return await self._handler.load(self.aggregate, self._known)
            except (Unavailable, TimedOut) as error:
                log.warning("run %s: %s; trying again", self.aggregate.id, error.detail)
                await asyncio.sleep(RETRY_S)


def _answer(group: list[_Said], answer: Outcome[Any] | Exception) -> None:
    for said in group:
        if said.done.done():
            continue  # who asked was cancelled
        if isinstance(answer, Exception):
            said.done.set_exception(answer)
        else:
            said.done.set_result(answer)


def _for_attempt(error: Refusal) -> Exception:
    """A refusal that means that the run belongs to somebody else is ``Stale``."""
    if isinstance(error, NotFound) or error.code == "stale_attempt":
        stale = Stale()
        stale.__cause__ = error
        return stale
    return error

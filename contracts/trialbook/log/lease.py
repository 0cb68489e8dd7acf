"""What only one process at a time may do: a lease on a subject of PRESENCE, taken, renewed and given back by
compare-and-set. It ends by itself when its holder is gone; ages are those of the server's clock, nobody else's.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import nats.errors
from nats.aio.client import Client

from trialbook import subjects
from trialbook.clock import Clock, SystemClock
from trialbook.errors import Unavailable
from trialbook.log.api import ApiError, call
from trialbook.streams import PRESENCE
from trialbook.tasks import ended
from trialbook.times import parse_time, rfc3339

log = logging.getLogger(__name__)
LEASE_S = 15.0
REPLY_S = 5.0
NO_MESSAGE = 10037
WRONG_LAST_SEQUENCE = frozenset({10071, 10164})


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """What stands under a lease: who has it, since when (RFC 3339), for how many seconds after the message was stored.

    ``lease_s`` 0: it was given back.
    """

    id: str
    name: str
    since: str
    lease_s: float


class Taken(Exception):
    """Somebody else has the lease: ``by``."""

    def __init__(self, by: Holder) -> None:
        super().__init__(by.name)
        self.by = by


class Lost(Exception):
    """Somebody else has taken the lease over."""


class Lease:
    """A lease on ``what``. ``id`` names the holder for ever (who has this id again takes over from itself at once, so
    no two processes may share one), ``name`` is for people.
    """

    def __init__(
        self, nc: Client, what: str, id_: str, name: str, clock: Clock | None = None, lease_s: float = LEASE_S
    ) -> None:
        self._nc, self._what, self._id, self._name = nc, what, id_, name
        self._subject = subjects.presence("lease", what)
        self._clock, self._lease_s = clock or SystemClock(), lease_s
        self._sequence = 0
        self._since = ""
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Have the lease while the block runs. Raises ``Taken`` when somebody else has it, ``Unavailable``."""
        await self._take()
        renewing = asyncio.create_task(self._renew())
        try:
            yield
        finally:
            await ended(renewing)
            with contextlib.suppress(Lost, Unavailable):  # then it is somebody else's, or ends by itself
                await self._put(0.0)

    async def still(self) -> None:
        """Renew it. Raises ``Lost`` when somebody else has taken it, and ``Unavailable``."""
        await self._put(self._lease_s)

    async def _take(self) -> None:
        """Take it when it is free, given back, expired, or was ours."""
        self._sequence, found, age_s = await self._look()
        if found is not None and found.id != self._id and age_s < found.lease_s:
            raise Taken(found)
        self._since = rfc3339(self._clock.now())
        try:
            await self._put(self._lease_s)
        except Lost:
            _, found, _ = await self._look()
            if found is None:
                raise
            raise Taken(found) from None

    async def _look(self) -> tuple[int, Holder | None, float]:
        """Sequence and content of the newest message, and its age in seconds."""
        try:
            found = (await call(self._nc, f"STREAM.MSG.GET.{PRESENCE}", {"last_by_subj": self._subject}))["message"]
        except ApiError as error:
            if error.code != NO_MESSAGE:
                raise
            return 0, None, 0.0
        now = (await call(self._nc, f"STREAM.INFO.{PRESENCE}"))["ts"]
        holder = msgspec.json.decode(base64.b64decode(found["data"]), type=Holder)
        return int(found["seq"]), holder, (parse_time(now) - parse_time(found["time"])).total_seconds()

    async def _put(self, lease_s: float) -> None:
        async with self._lock:
            holder = Holder(id=self._id, name=self._name, since=self._since, lease_s=lease_s)
            headers = {"Nats-Expected-Last-Subject-Sequence": str(self._sequence)}
            try:
                reply = await self._nc.request(
                    self._subject, msgspec.json.encode(holder), timeout=REPLY_S, headers=headers
                )
            except (nats.errors.Error, TimeoutError, OSError) as error:
                await self._read_back(error)
                return
            answer = msgspec.json.decode(reply.data)
            if "error" in answer:
                self._refused(answer["error"])
            self._sequence = int(answer["seq"])

    async def _read_back(self, why: Exception) -> None:
        """After a lost reply: what we wrote may be there."""
        sequence, found, _ = await self._look()
        if found is not None and (found.id, found.since) == (self._id, self._since):
            self._sequence = sequence
        raise Unavailable("ledger_unavailable", "The server did not acknowledge the lease; try again.") from why

    def _refused(self, problem: dict[str, object]) -> None:
        if problem.get("err_code") in WRONG_LAST_SEQUENCE:
            raise Lost
        raise Unavailable("ledger_refused", f"The lease was refused: {problem.get('description')}.")

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._lease_s / 3)
            try:
                await self.still()
            except (Lost, Unavailable, ApiError) as error:  # the holder finds out by itself before its next step
                log.warning("lease of %s: %s %s", self._what, type(error).__name__, error)

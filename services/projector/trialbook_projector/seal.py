"""Seal old facts: write them into segments, verify these, move the boundary, and purge what may go from the stream.

Every step leaves the ledger whole and may be repeated: segments count only when a manifest names them, the manifest
only when the stream's boundary does, and nothing is purged above the boundary.
"""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
from nats.aio.client import Client

from trialbook import subjects
from trialbook.clock import Clock, SystemClock
from trialbook.errors import Conflict, Invalid, Refusal, Unavailable
from trialbook.ledger.reader import LedgerGap, read_ledger
from trialbook.ledger.segments import Damaged, Segment
from trialbook.log import purging
from trialbook.log.lease import LEASE_S, Holder, Lease, Lost, Taken
from trialbook.log.purged import GRACE_S, KEPT, Boundary, boundary
from trialbook.streams import FACTS
from trialbook.times import rfc3339
from trialbook_projector.ledger.watch import projector_id
from trialbook_projector.live import Live
from trialbook_projector.seal_write import cut, forget_manifests, write_manifest, write_segment
from trialbook_projector.segments import Segments
from trialbook_projector.settings import Settings

log = logging.getLogger(__name__)
AGE = re.compile(r"([1-9][0-9]{0,6})([smhd])")
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
SEGMENTS_PER_STEP = 16
"""So many are written before the boundary moves on: what an interruption costs."""
EVERY_S = 3600.0
_YOUNGEST = "SELECT min(sequence) FROM book.facts WHERE sequence > ? AND time >= CAST(? AS TIMESTAMP)"
# A run holds the boundary below its first fact after the last one until its newest fact is one that stays for ever.
_HOLDING = """
SELECT f.workspace, f.aggregate, min(f.sequence) AS first
FROM book.facts AS f JOIN (
    SELECT r.workspace, r.id FROM book.runs AS r JOIN book.facts AS l ON l.sequence = r.sequence
    WHERE split_part(l.type, '.', 2) NOT IN (SELECT unnest(?))
) AS r ON f.workspace = r.workspace AND f.aggregate = r.id
WHERE f.kind = 'run' AND f.sequence > ? AND f.sequence <= ?
GROUP BY ALL ORDER BY first LIMIT 1
"""


class Order(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is asked on ``ask._.seal``: facts before a sequence (``"1000"``) or older than an age (``"90d"``).

    With ``keep_stream`` nothing is purged.
    """

    before: str
    keep_stream: bool = False


class Holding(msgspec.Struct, frozen=True):
    """A run that is not finished, and its first fact that would have been sealed."""

    workspace: str
    run: str
    sequence: int


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What was done: facts ``sealed_from + 1`` to ``sealed_to`` are in new segments of ``bytes`` in all.

    ``holding`` is the run that kept the boundary lower than was asked, if one did; ``purged`` counts facts.
    """

    sealed_from: int
    sealed_to: int
    segments: int
    bytes: int
    purged: int
    holding: Holding | None
    seconds: float


class Sealer:
    """Seals, one at a time."""

    def __init__(
        self, nc: Client, live: Live, segments: Segments, settings: Settings, clock: Clock | None = None,
        grace_s: float = GRACE_S, must_be_intact: Callable[[], None] = lambda: None, lease_s: float = LEASE_S,
    ) -> None:  # fmt: skip
        """``must_be_intact`` raises what refuses to seal a damaged ledger. Another projector may seal ``lease_s``
        seconds after this one was killed.
        """
        self._nc, self._live, self._segments, self._settings = nc, live, segments, settings
        self._clock = clock or SystemClock()
        self._grace_s = grace_s
        self._must_be_intact = must_be_intact
        self._running = asyncio.Lock()
        id_ = projector_id(settings.data_dir)
        name = f"The projector {id_} on {socket.gethostname()}"
        self._lease = Lease(nc, subjects.SEAL, id_, name, self._clock, lease_s)

    async def seal(self, order: Order) -> Report:
        """Carry out an order. Raises ``Invalid``, ``Conflict`` (``seal_running``, here or by another projector, who is
        named; ``seal_lost``, ``ledger_cannot_be_purged``), and ``Unavailable`` for what server and storage refuse.
        """
        self._must_be_intact()
        if self._running.locked():
            raise Conflict("seal_running", "This projector is sealing facts already; wait for it.")
        async with self._running:
            try:
                async with self._lease.held():
                    return await self._seal(order)
            except (Damaged, LedgerGap) as error:
                raise Unavailable("seal_failed", f"Nothing more was sealed or purged: {error}.") from error
            except Taken as taken:
                raise _sealed_by(taken.by) from None
            except Lost:
                raise Conflict(
                    "seal_lost", "This projector was away too long and another one seals; nothing more was done."
                ) from None

    async def schedule(self) -> None:
        """Seal what has become old enough, for ever; for nothing when no age is set."""
        while self._settings.seal_after_days:
            await asyncio.sleep(EVERY_S)
            try:
                report = await self.seal(Order(before=f"{self._settings.seal_after_days}d"))
            except Refusal as refusal:
                log.warning("sealing: %s", refusal.detail)
            else:
                if report.segments:
                    log.info("sealed facts up to %d, purged %d", report.sealed_to, report.purged)

    async def _seal(self, order: Order) -> Report:
        started = time.monotonic()
        if not order.keep_stream and not await purging.may_purge(self._nc):
            raise Conflict(
                "ledger_cannot_be_purged",
                "This ledger was created by a release whose stream refuses to be purged. Seal with --keep-stream, or "
                "export it and import it into a new installation.",
            )
        known = await boundary(self._nc)
        await self._live.watermarks.wait(known.sequence, 0, self._settings.wait_s)
        wanted, holding = await self._choose(order.before, known.sequence)
        written = await self._write(known, wanted) if wanted > known.sequence else []
        purged = 0 if order.keep_stream else await self._purge()
        return Report(
            sealed_from=known.sequence, sealed_to=max(known.sequence, wanted), segments=len(written),
            bytes=sum(segment.bytes for segment in written), purged=purged, holding=holding,
            seconds=round(time.monotonic() - started, 3),
        )  # fmt: skip

    async def _purge(self) -> int:
        return await purging.purge(self._nc, grace_s=self._grace_s, may_go_on=self._lease.still)

    async def _choose(self, before: str, known: int) -> tuple[int, Holding | None]:
        """The new boundary: as asked, but below every fact of a run that is not finished."""
        oldest = self._oldest(before)
        last = self._live.watermarks.positions.facts

        def read(cursor: Any) -> tuple[int, Any]:
            if isinstance(oldest, int):
                limit = min(oldest - 1, last)
            else:
                young = cursor.execute(_YOUNGEST, [known, oldest]).fetchone()[0]
                limit = last if young is None else young - 1
            held = cursor.execute(_HOLDING, [sorted(KEPT["run"]), known, limit]).fetchone()
            return limit, held

        limit, held = await self._live.tables.sql.run(read)
        if held is None:
            return limit, None
        return held[2] - 1, Holding(*held)

    def _oldest(self, before: str) -> int | str:
        """The first sequence, or the first time, that is too young to be sealed."""
        if before.isascii() and before.isdecimal() and len(before) <= 18:
            return int(before)
        age = AGE.fullmatch(before)
        if age is None:
            raise Invalid("invalid_age", f"{before[:40]!r} is neither a sequence nor an age such as 90d, 12h or 30m.")
        moment = self._clock.now() - timedelta(seconds=int(age[1]) * SECONDS[age[2]])
        return rfc3339(moment).removesuffix("Z")

    async def _write(self, known: Boundary, to: int) -> list[Segment]:
        """Write segments; the boundary moves on with every few of them."""
        storage = self._segments.storage
        before = await self._segments.manifest(known) if known.sequence else None
        facts = read_ledger(self._nc, self._settings.nats_url, storage, known.sequence, to, headers=True)
        written: list[Segment] = []
        step: list[Segment] = []
        async for portion in cut(facts):
            step.append(await write_segment(storage, portion, rfc3339(self._clock.now())))
            if len(step) == SEGMENTS_PER_STEP or portion[-1].sequence == to:
                reached = await write_manifest(storage, before, step, rfc3339(self._clock.now()))
                await self._lease.still()
                await purging.record_boundary(self._nc, reached)
                await forget_manifests(storage, before.streams[FACTS].last if before else 0)
                before = await self._segments.manifest(reached)
                written += step
                step = []
        if step or (written and written[-1].last != to):
            raise Damaged(f"the ledger ended before fact {to}")
        return written


def _sealed_by(by: Holder) -> Conflict:
    return Conflict(
        "seal_running",
        f"{by.name} has been sealing facts since {by.since}; wait for it (if it was killed, {by.lease_s:g} s).",
        holder=by.id, since=by.since,
    )  # fmt: skip

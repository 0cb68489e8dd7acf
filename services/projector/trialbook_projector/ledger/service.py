"""The ledger's proof in the projector: it keeps the tree, signs checkpoints, verifies, and answers for them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Sequence
from typing import TypeVar

from nats.aio.client import Client

from trialbook.audit.findings import Finding
from trialbook.audit.manifests import ManifestNote
from trialbook.audit.signer import PublicKey
from trialbook.clock import Clock, SystemClock
from trialbook.errors import Invalid, NotFound, Refusal, Unavailable
from trialbook.ledger.reader import LedgerGap, read_ledger
from trialbook.ledger.segments import Damaged
from trialbook.log.api import call
from trialbook.log.tail import Message
from trialbook.streams import FACTS
from trialbook.tasks import ended
from trialbook_projector.ledger.chain import Checkpoints, Forked
from trialbook_projector.ledger.child import verify_apart
from trialbook_projector.ledger.files import TileWriter
from trialbook_projector.ledger.keeper import Keeper, Misaligned
from trialbook_projector.ledger.pace import Pace
from trialbook_projector.ledger.settings import ledger_settings
from trialbook_projector.ledger.verifying import Outcome, Task, verify
from trialbook_projector.ledger.watch import Watch
from trialbook_projector.segments_store import open_storage
from trialbook_projector.settings import Settings

log = logging.getLogger(__name__)
Found = TypeVar("Found")
HERE = 20_000
"""As many facts are verified within this process: a child would take longer to start."""
AGAIN_S = 5.0
TELL_S = 1.0
LAST_S = 3.0
"""So long a stop may wait for the last checkpoint."""


class Ledger:
    """``open`` before, ``run`` while, ``close`` after use. Lives on the event loop."""

    def __init__(self, nc: Client, settings: Settings, clock: Clock | None = None) -> None:
        self._nc, self._settings = nc, settings
        self._clock: Clock = clock or SystemClock()
        self.options = ledger_settings(settings.environment, settings.data_dir)
        self._caught_up = asyncio.Event()

    async def open(self, applied: int) -> None:
        """Open the tiles and look whether the stream is at least as long as they and the tables (``applied``) are."""
        self.files = await asyncio.to_thread(TileWriter, self.options.folder)
        self.watch = Watch(self._nc, self._clock, self._settings.data_dir)
        self.keeper = Keeper(self.files, self._read)
        self.checkpoints = Checkpoints(self._nc, self.files, self.options, self._clock)
        self.watch.set(size=self.files.size, origin=self.checkpoints.origin, key=self.checkpoints.key)
        last = await self._last()
        known = max(self.files.size, applied)
        if last < known:
            detail = f"the stream ends at {last}; {known} had been read"
            self._damage([Finding(kind="lost", sequence=last + 1, until=known, detail=detail)])
        await self.watch.tell()

    def offer(self, batch: Sequence[Message]) -> None:
        """Facts that the pump has read."""
        self.keeper.offer(batch)

    async def run(self) -> None:
        """Keep the tree, sign and verify, until cancelled."""
        parts = (self._keep(), self._sign(), self._verify(), self._tell())
        tasks = [asyncio.create_task(part) for part in parts]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        finally:
            await ended(*tasks)

    async def finish(self) -> None:
        """Hash and sign the last facts, while there is a connection; after ``run`` has ended."""
        try:
            async with asyncio.timeout(LAST_S):
                self.keeper.want(await self._last())
                await self._flush()
                if not self.watch.damaged:
                    await self._make()
        except (Refusal, Forked, TimeoutError) as error:
            log.warning("the last facts are not signed yet: %s %s", type(error).__name__, error)

    async def close(self) -> None:
        """Add what was offered, and close the tiles."""
        try:
            await self.keeper.flush()
        except (Misaligned, LedgerGap, Damaged, Refusal) as error:
            log.warning("the last facts are not hashed yet: %s", error)
        finally:
            self.files.close()

    async def reach(self, sequence: int) -> None:
        """Have the tree hold the facts up to a sequence. Raises ``Invalid`` for one that does not exist yet, and
        ``Unavailable``.
        """
        if self.files.size < sequence:
            if sequence > (last := await self._last()):
                raise Invalid("sequence_ahead", f"The ledger ends at fact {last}; {sequence} does not exist yet.")
            self.keeper.want(sequence)
            await self._flush()
        if self.files.size < sequence:
            raise Unavailable("ledger_behind", f"The tree has {self.files.size} facts; try again in a moment.")

    async def checkpoint(self) -> bytes:
        """The newest checkpoint, over everything that is in the stream now. Raises ``Unavailable``."""
        self.watch.must_be_intact()
        await self.reach(await self._last())
        return await self._make()

    async def sign_manifest(self, sha256: str, size: int) -> tuple[bytes, PublicKey]:
        """A note over the manifest of an export, and the key that signed it.

        Raises ``NotFound`` (code ``no_ledger_key``) where nothing is signed, and ``Unavailable`` of a damaged ledger.
        """
        self.watch.must_be_intact()
        await self._unforked(self.checkpoints.catch_up())
        signer = await asyncio.to_thread(self.checkpoints.valid_signer)
        if signer is None:
            raise NotFound("no_ledger_key", "This ledger signs nothing: no key is configured.")
        said = ManifestNote(sha256=sha256, size=size, time_s=self._clock.unix_us() // 1_000_000)
        return signer.note(said.text).encode(), signer.public

    async def _make(self) -> bytes:
        note = await self._unforked(self.checkpoints.make())
        if self.checkpoints.last is not None:
            self.watch.set(signed=self.checkpoints.last.size, key=self.checkpoints.key)
        return note

    async def _unforked(self, work: Awaitable[Found]) -> Found:
        """What the checkpoints say; those that do not continue the tree are damage. Raises ``Unavailable``."""
        try:
            return await work
        except Forked as fork:
            self._damage([fork.finding])
            self.watch.must_be_intact()
            raise

    async def _flush(self) -> None:
        try:
            await self.keeper.flush()
        except Misaligned as error:
            self._damage([Finding(kind="lost", sequence=error.expected, until=error.found - 1)])
        except LedgerGap as error:
            self._damage([Finding(kind="lost", sequence=error.after + 1, until=error.before - 1)])
        except Damaged as error:
            self._damage([Finding(kind="unreadable", sequence=self.files.size + 1, detail=str(error))])
        self.watch.set(size=self.files.size)

    async def _keep(self) -> None:
        self.keeper.want(await self._last())
        while True:
            try:
                await self._flush()
                self._caught_up.set()
                await self.keeper.arrived()
            except Refusal as refusal:
                log.warning("the tree waits: %s", refusal.detail)
                await asyncio.sleep(AGAIN_S)

    async def _sign(self) -> None:
        """A checkpoint from time to time, when there is something new; sooner when nothing more seems to come."""
        pace = Pace(self.options.checkpoint_s, self._clock.monotonic())
        while True:
            await asyncio.sleep(pace.look_s)
            signed = self.checkpoints.last.size if self.checkpoints.last else 0
            if not pace.due(self.files.size, signed, self._clock.monotonic()) or self.watch.damaged:
                continue
            try:
                await self._make()
            except Refusal as refusal:
                if not self.watch.damaged:
                    log.warning("no checkpoint: %s", refusal.detail)

    async def _verify(self) -> None:
        """At start, when everything that is there has been hashed, and every now and then."""
        await self._caught_up.wait()
        while True:
            try:
                await self._verify_once()
            except Refusal as refusal:
                log.warning("the ledger could not be verified: %s", refusal.detail)
                await asyncio.sleep(AGAIN_S)
            else:
                await asyncio.sleep(self.options.verify_s)

    async def _verify_once(self) -> None:
        started, size = self._clock.monotonic(), self.files.size
        task = Task(
            url=self._settings.nats_url, folder=str(self.options.folder), size=size, origin=self.checkpoints.origin,
            keys=[key.text for key in self.checkpoints.keys], segments=self._settings.segments,
            environment=self._settings.environment,
        )  # fmt: skip
        self.watch.set(checked=0, total=size)
        if size <= HERE:
            outcome = await verify(self._nc, task, self._progress)
        else:
            outcome = await verify_apart(task, self._progress)
        await self._judge(outcome)
        seconds = self._clock.monotonic() - started
        log.info("verified facts=%d checkpoints=%d seconds=%.2f", outcome.facts, outcome.checkpoints, seconds)

    async def _judge(self, outcome: Outcome) -> None:
        if outcome.tiles:
            log.error("the hashes kept in %s were damaged; the ledger holds, hashing it again", self.options.folder)
            await self.keeper.again()
        elif outcome.deviations:
            self._damage(outcome.findings, outcome.deviations)
            await self.watch.tell()
            return
        elif not outcome.levels:
            log.warning("inner hashes kept in %s were damaged; making them again", self.options.folder)
            await self.keeper.rewrite()
        self.watch.verified(outcome.facts)
        await self.watch.tell()

    def _progress(self, checked: int) -> None:
        self.watch.set(checked=checked)

    def _damage(self, findings: Sequence[Finding], deviations: int = 0) -> None:
        self.keeper.stopped = True
        self.watch.damage(findings, deviations)

    async def _tell(self) -> None:
        while True:
            await self.watch.tell()
            await asyncio.sleep(TELL_S)

    async def _last(self) -> int:
        return int((await call(self._nc, f"STREAM.INFO.{FACTS}"))["state"]["last_seq"])

    def _read(self, after: int, up_to: int) -> AsyncIterator[list[Message]]:
        storage = open_storage(self._settings.segments, self._settings.environment) if self._settings.segments else None
        return read_ledger(self._nc, self._settings.nats_url, storage, after, up_to)

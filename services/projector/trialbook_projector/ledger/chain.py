"""The checkpoints of our own log: read from their stream, made, and appended behind one another."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from nats.aio.client import Client

from trialbook.audit.checkpoint import Checkpoint
from trialbook.audit.findings import Finding
from trialbook.audit.notes import Note, parse
from trialbook.audit.signer import PublicKey, Signer
from trialbook.audit.verify import Chain
from trialbook.clock import Clock
from trialbook.errors import Conflict, Unavailable
from trialbook.log.checkpoints import append_note, read_notes
from trialbook.ports import VersionConflict
from trialbook_projector.ledger.files import TileWriter
from trialbook_projector.ledger.settings import LedgerSettings

log = logging.getLogger(__name__)
COPY = "checkpoint"
TRIES = 5


class Forked(Exception):
    """What was signed before is not the beginning of the tree."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.text)
        self.finding = finding


class Checkpoints:
    """Signs and appends. ``last`` is the newest checkpoint of this log, ``note`` it with all its signatures."""

    def __init__(self, nc: Client, files: TileWriter, settings: LedgerSettings, clock: Clock) -> None:
        self._nc, self._files, self._settings, self._clock = nc, files, settings, clock
        signer = settings.signer()
        self.origin = signer.name if signer else ""
        self._chain = Chain(settings.trusted(signer), self.origin)
        self._position = 0
        self._lock, self._reading = asyncio.Lock(), asyncio.Lock()
        self.note = b""
        self.sequence = 0
        """Place of ``note`` in CHECKPOINTS."""

    @property
    def last(self) -> Checkpoint | None:
        """The newest checkpoint that a valid key has signed."""
        return self._chain.last

    @property
    def key(self) -> str:
        """The public key as text; empty when nothing is signed. Reads the key's file."""
        signer = self._settings.signer()
        return signer.public.text if signer else ""

    @property
    def keys(self) -> list[PublicKey]:
        """The keys that were trusted at the beginning."""
        return self._settings.trusted(self._settings.signer())

    def valid_signer(self) -> Signer | None:
        """The secret key; None where nothing is signed. Reads the key's file.

        Raises ``Conflict`` (code ``ledger_key_replaced``) for a key that another one has replaced.
        """
        signer = self._settings.signer()
        if signer is not None and self._chain.known and signer.public not in self._chain.keys:
            raise Conflict("ledger_key_replaced", "The key of this projector was replaced by another one.")
        return signer

    async def catch_up(self) -> None:
        """Read what was appended meanwhile. Raises ``Forked`` for a note that no valid key has signed, or that does not
        follow the one before.
        """
        if not self.origin:
            return
        async with self._reading:  # a note that two take would look like one that is there twice
            async for noted in read_notes(self._nc, self._position):
                self._position = noted.sequence
                said = self._chain.take(noted.data, noted.sequence)
                if self._chain.findings:
                    raise Forked(self._chain.findings[0])
                if said is not None:
                    self.note, self.sequence = noted.data, noted.sequence

    async def make(self) -> bytes:
        """The newest checkpoint, made now if the tree has grown; b"" when nothing can be signed and nothing was.

        Raises ``Forked``, and ``Unavailable``.
        """
        async with self._lock:
            for _ in range(TRIES):
                await self.catch_up()
                size, last = self._files.size, self.last
                await asyncio.to_thread(self._must_follow, last)
                if size == 0 or (last is not None and last.size >= size):
                    return self.note
                if (signer := await asyncio.to_thread(self.valid_signer)) is None:
                    return self.note
                head = await asyncio.to_thread(self._files.head, size)
                made = Checkpoint(self.origin, size, head, self._clock.unix_us() // 1_000_000)
                data = signer.note(made.text).encode()
                try:
                    await append_note(self._nc, self.origin, data, self._position)
                except VersionConflict:  # another projector, or a witness, was quicker
                    continue
                await self.catch_up()
                await asyncio.to_thread(_keep, self._settings.folder / COPY, data)
                return self.note
            raise Unavailable("ledger_busy", "Others append checkpoints all the time; try again.")

    def _must_follow(self, last: Checkpoint | None) -> None:
        """Refuse to go on from a checkpoint that is not ours to go on from."""
        if last is None or last.size > self._files.size:
            return  # of a projector that is ahead; what it has signed is checked when we get there
        if self._files.head(last.size) != last.root:
            self._files.rewrite()  # inner hashes may be damaged, which harms nobody
        if self._files.head(last.size) != last.root:
            detail = "the hashes kept here do not add up to this head; nothing more is signed"
            raise Forked(Finding(kind="checkpoint", sequence=1, until=last.size, detail=detail))


def _keep(path: Path, data: bytes) -> None:
    part = path.with_suffix(".part")
    part.write_bytes(data)
    part.replace(path)


def kept(folder: Path) -> Note | None:
    """The copy of the last checkpoint in the data directory. Raises ``InvalidNote``."""
    path = folder / COPY
    return parse(path.read_bytes()) if path.exists() else None

"""Read the whole ledger again and compare it with the tiles, and both with everything that was ever signed."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import msgspec
from nats.aio.client import Client

from trialbook import subjects
from trialbook.audit import merkle
from trialbook.audit.checkpoint import Checkpoint, parse_text
from trialbook.audit.findings import Finding
from trialbook.audit.leaf import leaf_hash
from trialbook.audit.merkle import SIZE
from trialbook.audit.notes import InvalidNote
from trialbook.audit.signer import parse_public, verified
from trialbook.audit.tiles import HEIGHT, WIDTH, hashes
from trialbook.audit.verify import Verification, history
from trialbook.errors import NotFound, Unavailable
from trialbook.ledger.reader import read_sealed
from trialbook.ledger.segments import Damaged
from trialbook.log.api import call
from trialbook.log.bulk import read_stream
from trialbook.log.checkpoints import read_notes
from trialbook.log.purged import Boundary, boundary, purged_names
from trialbook.log.tail import Message, Tail
from trialbook.streams import FACTS
from trialbook_projector.ledger.chain import kept
from trialbook_projector.ledger.files import LEVELS, TileFiles
from trialbook_projector.segments_store import open_storage

TAIL_MESSAGES = 5000
SILENT_S = 5.0
MAX_SHOWN = 100
TRIES = 3


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """What to verify: the first ``size`` facts against the tiles in ``folder`` and the notes signed with ``keys``."""

    url: str
    folder: str
    size: int
    keys: list[str]
    origin: str
    segments: str = ""
    environment: dict[str, str] = {}


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """``findings`` are at most 100 of ``deviations``. ``tiles``: only what is kept here deviates, the ledger holds."""

    facts: int
    checkpoints: int
    findings: list[Finding] = []
    deviations: int = 0
    tiles: bool = False
    levels: bool = True
    """Whether the higher levels follow from the leaf hashes."""


Progress = Callable[[int], None]


async def verify(nc: Client, task: Task, progress: Progress) -> Outcome:
    """Verify everything. Raises ``Unavailable`` when NATS goes away; what else cannot be read is a finding."""
    known = await boundary(nc)
    beside = _beside(task)  # before the stream of checkpoints is read: it may grow meanwhile, and the copy with it
    read = history(
        [noted.data async for noted in read_notes(nc)], [parse_public(text) for text in task.keys], task.origin
    )
    files = TileFiles(Path(task.folder), task.size)
    try:
        within = [checkpoint for checkpoint in read.checkpoints if checkpoint.size <= task.size]
        run = Verification(within, files.span, task.size, 0 if task.segments else known.sequence)
        run.findings.extend(read.findings)
        run.findings.extend(await _shorter(nc, read.checkpoints))
        staying = array("Q")
        run.findings.extend(await _facts(nc, task, known, run, progress, staying))
        run.findings.extend(await _left(nc, task, known, files, staying))
        verdict = await asyncio.to_thread(run.finish)
        levels = await asyncio.to_thread(_levels_follow, files, bytes(run.tree.blocks or b""))
        copy = _copy(beside, task.origin, read.checkpoints, files) if levels else []
        findings = [*copy, *verdict.findings]
        tiles = any(finding.kind == "tiles" for finding in findings)
        signed = within[-1].size if within else 0
        if tiles and (task.segments or not known.sequence):
            tiles = all(finding.sequence <= signed for finding in findings) and await _holds(
                nc, task, known, within, progress
            )
        return Outcome(
            facts=verdict.facts, checkpoints=verdict.checkpoints, findings=findings[:MAX_SHOWN],
            deviations=verdict.deviations + len(copy), tiles=tiles and not read.findings, levels=levels,
        )  # fmt: skip
    finally:
        files.close()


async def _facts(
    nc: Client, task: Task, known: Boundary, run: Verification, progress: Progress, staying: array[int] | None = None
) -> list[Finding]:
    """Take every fact, sealed or not; what cannot be read. ``staying``: gets the sealed ones that no purge removes."""
    gone = frozenset(purged_names("run"))
    found: list[Finding] = []
    try:
        if task.segments and known.sequence:
            storage = open_storage(task.segments, task.environment)
            async for batch in read_sealed(storage, known, 0, task.size):
                await _take(run, batch, progress)
                if staying is not None:
                    staying.extend(m.sequence for m in batch if not _purgeable(m.subject, gone))
    except (Damaged, NotFound) as error:
        found.append(Finding(kind="unreadable", sequence=run.facts + 1, until=known.sequence, detail=str(error)))
        return found
    async for batch in read_facts(nc, task.url, known.sequence, task.size):
        await _take(run, batch, progress)
    return found


async def _take(run: Verification, batch: Sequence[Message], progress: Progress) -> None:
    await asyncio.to_thread(run.take, [(m.sequence, m.subject, m.data) for m in batch])
    progress(run.facts)


def _purgeable(subject: str, gone: frozenset[str]) -> bool:
    _, _, kind, _, name, *_ = subject.split(".")
    return kind == "run" and name in gone


async def _left(nc: Client, task: Task, known: Boundary, files: TileFiles, staying: array[int]) -> list[Finding]:
    """Facts before the boundary that were left in the stream: those that are not as sealed, and those that are gone.

    Commands are decided upon these alone, so a lost one is damage although its segment has it.
    """
    found: list[Finding] = []
    place = 0
    if not known.sequence:
        return found
    async for batch in read_facts(nc, task.url, 0, min(known.sequence, task.size)):
        for m in batch:
            while place < len(staying) and staying[place] < m.sequence:
                found.append(_gone(staying[place]))
                place += 1
            place += place < len(staying) and staying[place] == m.sequence
            if leaf_hash(m.sequence, m.subject, m.data) != files.span(m.sequence, m.sequence):
                found.append(Finding(kind="changed", sequence=m.sequence, detail="in the stream"))
    return [*found, *map(_gone, staying[place:])]


def _gone(sequence: int) -> Finding:
    return Finding(kind="lost", sequence=sequence, detail="in the stream; its segment has it")


async def _holds(
    nc: Client, task: Task, known: Boundary, checkpoints: Sequence[Checkpoint], progress: Progress
) -> bool:
    """Whether the facts by themselves add up to everything that was signed."""
    run = Verification(checkpoints)
    unreadable = await _facts(nc, task, known, run, progress)
    verdict = await asyncio.to_thread(run.finish)
    return verdict.intact and not unreadable and verdict.facts == task.size


async def read_facts(nc: Client, url: str, after: int, up_to: int) -> AsyncIterator[list[Message]]:
    """Batches of facts that the stream has after a place, holes or not. Raises ``Unavailable``."""
    if up_to <= after:
        return
    if not url.startswith("nats://"):
        async with Tail(nc, FACTS, [subjects.FACTS_ALL], after) as tail:
            while tail.position < up_to:
                got = await tail.next(max_messages=TAIL_MESSAGES, timeout_s=SILENT_S)
                if got:
                    yield [message for message in got if message.sequence <= up_to]
                elif tail.pending == 0:
                    return
        return
    failures = 0
    while True:
        try:
            async for batch in read_stream(url, FACTS, [subjects.FACTS_ALL], after, up_to):
                if batch:
                    after, failures = batch[-1].sequence, 0
                    yield batch
        except Unavailable:
            failures += 1
            if failures == TRIES:
                raise
        else:
            return


async def _shorter(nc: Client, checkpoints: Sequence[Checkpoint]) -> list[Finding]:
    """Facts that were signed beyond the end of the stream."""
    last = int((await call(nc, f"STREAM.INFO.{FACTS}"))["state"]["last_seq"])
    if not checkpoints or checkpoints[-1].size <= last:
        return []
    until = checkpoints[-1].size
    detail = f"{until} facts were signed, the stream ends at {last}"
    return [Finding(kind="lost", sequence=last + 1, until=until, detail=detail)]


def _beside(task: Task) -> Checkpoint | None:
    """The copy of the last checkpoint beside the tiles, if it can be believed."""
    try:
        note = kept(Path(task.folder))
        if note is None:
            return None
        verified(note, [parse_public(text) for text in task.keys])
        said = parse_text(note.text)
    except InvalidNote:
        return None  # torn, or of a key that is retired: it proves nothing, and is written again
    return said if isinstance(said, Checkpoint) else None


def _copy(said: Checkpoint | None, origin: str, checkpoints: Sequence[Checkpoint], files: TileFiles) -> list[Finding]:
    """Compare the copy of the last checkpoint with the stream of checkpoints, which may not be behind it."""
    if said is None or said.origin != origin:
        return []
    signed = checkpoints[-1].size if checkpoints else 0
    if said.size > signed:
        detail = f"the checkpoint of {said.size} facts is gone; the last one there is of {signed}"
        return [Finding(kind="checkpoint", sequence=signed + 1, until=said.size, detail=detail)]
    if said.size <= files.size and files.head(said.size) != said.root:
        detail = "the copy of a checkpoint kept here does not hold"
        return [Finding(kind="checkpoint", sequence=1, until=said.size, detail=detail)]
    return []


def _levels_follow(files: TileFiles, blocks: bytes) -> bool:
    """Whether each higher level consists of the heads of the tiles below; ``blocks`` are those of the leaves' tiles."""
    content = blocks
    for level in range(1, LEVELS):
        count = files.size >> HEIGHT * level
        if files.level(level, count) != content:
            return False
        content = b"".join(
            merkle.head(hashes(content[number * WIDTH * SIZE : (number + 1) * WIDTH * SIZE]))
            for number in range(count // WIDTH)
        )
    return True

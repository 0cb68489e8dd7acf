"""What the verification of an export says of files that somebody has edited, with a manifest that fits."""

from __future__ import annotations

import gzip
import hashlib
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from trialbook.audit import merkle
from trialbook.audit.checkpoint import Checkpoint
from trialbook.audit.leaf import leaf_hash
from trialbook.audit.ordering import misplaced
from trialbook.audit.signer import Signer, origin_of
from trialbook.audit.verify import history
from trialbook.ledger.manifest import EXPORT, Manifest, Part, StoredBlob, encode, leaves_name
from trialbook.ledger.segments import segment_of
from trialbook.ledger.storage import LocalStorage
from trialbook.log.tail import Message
from trialbook.streams import CHECKPOINTS, FACTS
from trialbook_deploy.auditing.export import verify_export

COUNT = 2500
KEY = Signer("log", b"k" * 32)
MESSAGES = [
    Message(n, f"fact.main.run.{n % 9}.started", b'{"n":%d,"u":"\xc3\xbc"}' % n, n) for n in range(1, COUNT + 1)
]
BLOB = b"stored bytes" * 1000


class Export:
    """An export in a folder, made by hand."""

    def __init__(self, folder: Path) -> None:
        self.storage = LocalStorage(folder)
        self.manifest = Manifest(kind="export", origin="log", created_at="", complete=True)

    async def write(self) -> None:
        leaves = [leaf_hash(m.sequence, m.subject, m.data) for m in MESSAGES]
        note = KEY.note(Checkpoint("log", COUNT, merkle.head(leaves), 1).text).encode()
        for stream, messages in ((FACTS, MESSAGES), (CHECKPOINTS, [Message(1, "checkpoint.log", note, 1)])):
            segment, content = segment_of(messages, f"{stream.lower()}/1.ndjson.gz", "")
            await self.storage.put(segment.name, content)
            self.manifest.streams[stream] = Part(first=1, last=len(messages), segments=[segment])
        name = leaves_name(self.manifest.streams[FACTS].segments[0])
        await self.storage.put(name, b"".join(leaves))
        self.manifest.files[name] = hashlib.sha256(b"".join(leaves)).hexdigest()
        digest = hashlib.sha256(BLOB).hexdigest()
        self.manifest.blobs.append(StoredBlob(sha256=digest, size=len(BLOB)))
        await self.storage.put(f"blobs/{digest}", BLOB)
        await self.storage.put(EXPORT, encode(self.manifest))

    async def edit(self, change: Callable[[list[bytes]], list[bytes]]) -> None:
        """Change the lines of the facts, and the manifest with them."""
        part = self.manifest.streams[FACTS]
        before = part.segments[0]
        lines = gzip.decompress(await self.storage.get(before.name)).splitlines(keepends=True)
        lines = change(lines)
        content = gzip.compress(b"".join(lines))
        part.segments = [
            type(before)(
                name=before.name, first=before.first, last=before.last, count=len(lines), bytes=len(content),
                sha256=hashlib.sha256(content).hexdigest(), written_at="", blocks=[(1, 0)], root="",
            )
        ]  # fmt: skip
        await self.storage.put(before.name, content)
        await self.storage.put(EXPORT, encode(self.manifest))

    async def findings(self) -> list[str]:
        verdict, _ = await verify_export(self.storage, [KEY.public], 0, lambda *_: None)
        assert verdict.intact == (not verdict.findings)
        return [finding.text for finding in verdict.findings]


@pytest.fixture
async def export(tmp_path: Path) -> Export:
    made = Export(tmp_path)
    await made.write()
    assert await made.findings() == []
    return made


def swapped(lines: list[bytes]) -> list[bytes]:
    lines[561], lines[2032] = lines[2032], lines[561]
    return lines


CASES: dict[str, tuple[Callable[[list[bytes]], list[bytes]], list[str]]] = {
    "two lines swapped": (swapped, ["reordered 2033, stands at 562", "reordered 562, stands at 2033"]),
    "one moved": (lambda x: [*x[:99], *x[100:1500], x[99], *x[1500:]], ["reordered 100, stands at 1500"]),
    "one twice": (lambda x: [*x[:700], x[99], *x[700:]], ["inserted 100: it is there already"]),
    "one left out": (lambda x: x[:99] + x[100:], ["lost 100"]),
    "one changed": (lambda x: [*x[:99], x[99].replace(b'"n":', b'"m":'), *x[100:]], ["changed 100"]),
    "all backwards": (lambda x: x[:10] + x[10:13][::-1] + x[13:],
                      ["reordered 13, stands at 11", "reordered 12, stands at 12"]),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
async def test_each_line_is_named(export: Export, case: str) -> None:
    change, expected = CASES[case]
    await export.edit(change)
    assert await export.findings() == expected


async def test_no_byte_of_any_file_goes_unnoticed(export: Export) -> None:
    chance = random.Random(2)
    for name in await export.storage.names():
        if name == EXPORT:
            continue
        whole = await export.storage.get(name)
        for place in (0, 1, len(whole) - 1, *(chance.randrange(len(whole)) for _ in range(30))):
            changed = bytearray(whole)
            changed[place] ^= 1 << chance.randrange(8)
            await export.storage.put(name, bytes(changed))
            assert await export.findings(), (name, place)
        await export.storage.put(name, whole[: len(whole) // 2])
        assert await export.findings(), name
        await export.storage.delete(name)
        assert await export.findings(), name
        await export.storage.put(name, whole)
    assert await export.findings() == []


def test_notes_of_the_log_that_was_imported_are_passed_over() -> None:
    before, here, namesake = (Signer(name, bytes([n]) * 32) for n, name in enumerate(("before", "here", "here"), 1))
    then, now = Checkpoint("before", 10, bytes(32), 1), Checkpoint("here", 20, bytes(32), 1)
    found = [before.note(then.text).encode(), here.note(now.text).encode()]
    for signer, expected in ((before, then), (here, now)):
        read = history(found, [signer.public], origin_of([signer.public]))
        assert (read.checkpoints, read.findings) == ([expected], [])
    assert history(found, [namesake.public], origin_of([namesake.public])).findings
    assert origin_of([before.public, here.public]) == ""


def test_as_few_facts_as_possible_are_misplaced() -> None:
    assert misplaced([1, 2, 5, 9]) == {}
    assert misplaced([]) == {}
    chance = random.Random(1)
    for _ in range(50):
        sequences = list(range(1, 40))
        for moved in chance.sample(sequences, 3):
            sequences.remove(moved)
            sequences.insert(chance.randrange(len(sequences) + 1), moved)
        odd = misplaced(sequences)
        assert len(odd) <= 3
        assert [s for place, s in enumerate(sequences) if place not in odd] == sorted(
            s for place, s in enumerate(sequences) if place not in odd
        )
        assert {sequences[place] for place in odd} == {finding.sequence for finding in odd.values()}

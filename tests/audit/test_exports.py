"""What the verification of an export says of files that somebody has edited, with a manifest that fits."""

from __future__ import annotations

import gzip
import hashlib
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec import structs

from trialbook.audit import merkle
from trialbook.audit.checkpoint import Checkpoint, parse_text
from trialbook.audit.leaf import leaf_hash
from trialbook.audit.manifests import ManifestNote, Signed, signed_by
from trialbook.audit.notes import InvalidNote
from trialbook.audit.ordering import misplaced
from trialbook.audit.signer import Signer, origin_of
from trialbook.audit.verify import history
from trialbook.errors import Invalid
from trialbook.ledger.manifest import EXPORT, NOTE, Manifest, Part, StoredBlob, encode, leaves_name
from trialbook.ledger.segments import segment_of
from trialbook.ledger.storage import LocalStorage
from trialbook.log.tail import Message
from trialbook.streams import CHECKPOINTS, FACTS, SIGNALS
from trialbook_deploy.auditing.export import Examined, not_covered, verify_export

COUNT = 2500
KEY = Signer("log", b"k" * 32)
MESSAGES = [
    Message(n, f"fact.main.run.{n % 9}.started", b'{"n":%d,"u":"\xc3\xbc"}' % n, n) for n in range(1, COUNT + 1)
]
BLOB = b"stored bytes" * 1000
SIGNALLED = [Message(n, "signal.main.run.1.log", b'{"line":%d}' % n, n) for n in range(1, 20)]


def signature_of(manifest: bytes, key: Signer) -> bytes:
    digest = hashlib.sha256(manifest).hexdigest()
    return key.note(ManifestNote(sha256=digest, size=len(manifest), time_s=7).text).encode()


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
        verdict = (await self.examined()).verdict
        assert verdict.intact == (not verdict.findings)
        return [finding.text for finding in verdict.findings]

    async def examined(self) -> Examined:
        return await verify_export(self.storage, [KEY.public], 0, lambda *_: None)

    async def sign(self, key: Signer = KEY) -> None:
        """As an export of today ends, with signals and a table."""
        segment, content = segment_of(SIGNALLED, "signals/1.ndjson.gz", "")
        await self.storage.put(segment.name, content)
        self.manifest.streams[SIGNALS] = Part(first=1, last=len(SIGNALLED), segments=[segment])
        facts = self.manifest.streams[FACTS]
        await self.storage.put("facts/1.parquet", b"a table")
        digest = hashlib.sha256(b"a table").hexdigest()
        [before] = facts.segments
        facts.segments = [structs.replace(before, parquet="facts/1.parquet", parquet_sha256=digest)]
        self.manifest.note = NOTE
        await self.storage.put(EXPORT, encode(self.manifest))
        await self.storage.put(NOTE, signature_of(encode(self.manifest), key))


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


async def test_a_signed_manifest_covers_every_file(export: Export) -> None:
    assert (await export.examined()).signed is None
    assert "signals" in not_covered(await export.examined())[0]
    await export.sign()
    found = await export.examined()
    assert (found.verdict.findings, found.signed) == ([], Signed(name="log", key_id=KEY.public.id, time_s=7))
    chance = random.Random(3)
    for name in await export.storage.names():
        whole = await export.storage.get(name)
        changed = bytearray(whole)
        changed[place := chance.randrange(len(whole))] ^= 2
        await export.storage.put(name, bytes(changed))
        try:
            assert await export.findings(), (name, place)
        except Invalid:
            assert name == EXPORT  # it cannot be read any more
        await export.storage.put(name, whole)
        if name != EXPORT:
            await export.storage.delete(name)
            assert await export.findings(), name
            await export.storage.put(name, whole)
    await export.storage.put("signals/2.ndjson.gz", b"more")
    assert await export.findings() == ["inserted 0: signals/2.ndjson.gz is not in the manifest"]


async def test_signals_changed_together_with_the_manifest_are_noticed(export: Export) -> None:
    await export.sign()
    segment, content = segment_of(SIGNALLED[1:], "signals/1.ndjson.gz", "")
    await export.storage.put(segment.name, content)
    export.manifest.streams[SIGNALS].segments = [segment]
    await export.storage.put(EXPORT, encode(export.manifest))
    changed = "it signs another manifest, or the manifest was changed since"
    assert await export.findings() == [f"signature 0: manifest.note does not prove the manifest: {changed}"]
    await export.storage.put(NOTE, signature_of(encode(export.manifest), Signer("log", b"x" * 32)))
    [finding] = await export.findings()
    assert finding.endswith("no known key has signed this note")


def test_no_signature_of_a_manifest_passes_for_a_checkpoint_or_the_other_way_round() -> None:
    note = signature_of(b"{}", KEY)
    assert signed_by(note, b"{}", [KEY.public]).name == "log"
    read = history([note], [KEY.public])
    assert (read.checkpoints, [one.kind for one in read.findings]) == ([], ["signature"])
    with pytest.raises(InvalidNote):
        parse_text(note.decode().partition("\n\n")[0] + "\n")
    for text in (Checkpoint("log", 1, bytes(32), 1).text, Checkpoint("trialbook.manifest/v1", 1, bytes(32)).text):
        with pytest.raises(InvalidNote):
            signed_by(KEY.note(text).encode(), b"{}", [KEY.public])


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

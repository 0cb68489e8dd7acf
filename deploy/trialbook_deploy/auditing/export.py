"""Verify an export with nothing but the log's public key.

The files are read whatever their digests say: a changed file is to be told fact by fact, not refused as a whole.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import msgspec

from trialbook.audit.checkpoint import Checkpoint
from trialbook.audit.findings import Finding, Verdict
from trialbook.audit.manifests import Signed
from trialbook.audit.merkle import SIZE
from trialbook.audit.ordering import misplaced
from trialbook.audit.signer import PublicKey, origin_of
from trialbook.audit.verify import Fact, Verification, history
from trialbook.errors import Invalid, NotFound
from trialbook.ledger import manifest as manifests
from trialbook.ledger import proofs
from trialbook.ledger.manifest import Manifest, leaves_name
from trialbook.ledger.segments import Damaged, Segment, block_messages
from trialbook.ledger.signing import signature
from trialbook.ledger.storage import SegmentStorage, digest_of
from trialbook.log.tail import Message
from trialbook.streams import CHECKPOINTS, FACTS

Tell = Callable[[str, int, int], None]
"""What, done, of how many."""


class Examined(msgspec.Struct, frozen=True, kw_only=True):
    """What was found of an export. ``signed``: who signed its manifest; None: nobody, so facts alone are proven."""

    verdict: Verdict
    manifest: Manifest
    signed: Signed | None


async def verify_export(storage: SegmentStorage, keys: Sequence[PublicKey], up_to: int, tell: Tell) -> Examined:
    """The verdict over an export; with ``up_to`` it may end there. Raises ``Invalid`` for what is no whole export."""
    try:
        content = await storage.get(manifests.EXPORT)
        manifest = manifests.decode(content)
    except (Damaged, NotFound) as error:
        raise Invalid("not_an_export", f"This is no export: {str(error).rstrip('.')}.") from None
    facts = manifest.streams.get(FACTS)
    if not manifest.complete or facts is None:
        raise Invalid("incomplete_export", "This export was not completed; repeat the command that began it.")
    read = history(await _notes(storage, manifest), keys, origin_of(keys))
    if facts.first > 1 and not manifest.workspace:
        raise Invalid("partial_export", f"This export begins at fact {facts.first}; only whole ones prove themselves.")
    signed, findings = await _signed(storage, manifest, content, read.keys)
    findings = [*read.findings, *findings, *await _other_files(storage, manifest, tell)]
    checkpoints = [one for one in read.checkpoints if not up_to or one.size <= up_to]
    if not checkpoints:
        findings.append(Finding(kind="key", sequence=0, detail="no checkpoint here is signed with this key"))
    if manifest.workspace:
        verdict = await _extract(storage, manifest, read.checkpoints)
    else:
        verdict = await _whole(storage, facts.segments, checkpoints, tell)
    return Examined(verdict=_with(verdict, findings), manifest=manifest, signed=signed)


async def _signed(
    storage: SegmentStorage, manifest: Manifest, content: bytes, keys: Sequence[PublicKey]
) -> tuple[Signed | None, list[Finding]]:
    try:
        return await signature(storage, manifest, content, keys), []
    except Damaged as error:
        return None, [Finding(kind="signature", sequence=0, detail=str(error))]


async def _whole(
    storage: SegmentStorage, segments: Sequence[Segment], signed: Sequence[Checkpoint], tell: Tell
) -> Verdict:
    leaves = await _leaves(storage, segments)
    verdict = await _pass(storage, segments, Verification(signed, _span(leaves), len(leaves) // SIZE), tell)
    if any(finding.kind == "tiles" for finding in verdict.findings):  # the hashes that came along are not to be trusted
        without = await _pass(storage, segments, Verification(signed), tell)
        kept = [finding for finding in verdict.findings if finding.kind == "tiles"]
        verdict = without if not without.intact else _with(without, kept)
    return verdict


def _with(verdict: Verdict, findings: list[Finding]) -> Verdict:
    return msgspec.structs.replace(
        verdict, findings=[*findings, *verdict.findings], deviations=verdict.deviations + len(findings)
    )


async def _pass(storage: SegmentStorage, segments: Sequence[Segment], run: Verification, tell: Tell) -> Verdict:
    whole = sum(segment.count for segment in segments)
    for segment in segments:
        messages, findings = await _messages(storage, segment)
        before = run.findings.count
        messages = _in_order(messages, run)
        for start in range(0, len(messages), 2000):
            batch: list[Fact] = [(m.sequence, m.subject, m.data) for m in messages[start : start + 2000]]
            await asyncio.to_thread(run.take, batch)
            tell("facts", run.facts, whole)
        if run.findings.count == before or not messages:
            run.findings.extend(findings)
    return await asyncio.to_thread(run.finish)


def _in_order(messages: list[Message], run: Verification) -> list[Message]:
    """The messages by their sequences; which ones stand elsewhere in the file, or twice, is noted."""
    odd = misplaced([message.sequence for message in messages])
    run.findings.extend(list(odd.values()))
    twice = {place for place, finding in odd.items() if finding.kind == "inserted"}
    kept = [message for place, message in enumerate(messages) if place not in twice]
    return sorted(kept, key=lambda message: message.sequence) if odd else messages


async def _messages(storage: SegmentStorage, segment: Segment) -> tuple[list[Message], list[Finding]]:
    """What can be read of a segment, and what is wrong with its file."""
    try:
        content = await storage.get(segment.name)
    except NotFound:
        return [], [Finding(kind="unreadable", sequence=segment.first, until=segment.last, detail="its file is gone")]
    if hashlib.sha256(content).hexdigest() == segment.sha256:
        return block_messages(content, segment.name), []
    detail = f"{segment.name} is not the file that was written"
    try:
        return block_messages(content, segment.name), [
            Finding(kind="changed", sequence=segment.first, until=segment.last, detail=detail)
        ]
    except Damaged:
        return list(_blocks(segment, content)), [
            Finding(kind="unreadable", sequence=segment.first, until=segment.last, detail=detail)
        ]


def _blocks(segment: Segment, content: bytes) -> Iterator[Message]:
    """The messages of those blocks that can be decompressed."""
    starts = [offset for _, offset in segment.blocks]
    for start, end in pairwise([*starts, len(content)]):
        try:
            yield from block_messages(content[start:end], segment.name)
        except Damaged:
            continue  # its facts will be missed by their sequences


async def _other_files(storage: SegmentStorage, manifest: Manifest, tell: Tell) -> list[Finding]:
    """What else is not as it was listed: stored bytes, whose names are the digests that facts tell; signals; notes;
    tables. And what nobody has listed.
    """
    facts = {segment.name for segment in manifest.streams[FACTS].segments if not manifest.workspace}
    listed = [(name, digest) for name, digest in manifests.listed(manifest).items() if name not in facts]
    odd = manifests.strangers(manifest, await storage.names())
    found = [Finding(kind="inserted", sequence=0, detail=f"{name} is not in the manifest") for name in odd]
    for number, (name, digest) in enumerate(listed, 1):
        if await storage.size(name) is None:
            found.append(Finding(kind="unreadable", sequence=0, detail=f"{name} is gone"))
        elif await digest_of(storage, name) != digest:
            found.append(Finding(kind="unreadable", sequence=0, detail=f"{name} is not the file that was written"))
        tell("files", number, len(listed))
    return found


async def _notes(storage: SegmentStorage, manifest: Manifest) -> list[bytes]:
    part = manifest.streams.get(CHECKPOINTS)
    found: list[bytes] = []
    for segment in part.segments if part else ():
        found += [message.data for message in (await _messages(storage, segment))[0]]
    return found


async def _leaves(storage: SegmentStorage, segments: Sequence[Segment]) -> bytes:
    """The leaf hashes that came along, one after the other from fact 1; b"" when they are not all there."""
    found = bytearray()
    for segment in segments:
        try:
            content = await storage.get(leaves_name(segment))
        except NotFound:
            return b""
        if segment.first != len(found) // SIZE + 1 or len(content) != (segment.last - segment.first + 1) * SIZE:
            return b""
        found += content
    return bytes(found)


def _span(leaves: bytes) -> Callable[[int, int], bytes] | None:
    if not leaves:
        return None
    return lambda first, last: leaves[(first - 1) * SIZE : last * SIZE]


async def _extract(storage: SegmentStorage, manifest: Manifest, checkpoints: Sequence[Checkpoint]) -> Verdict:
    """One workspace's facts: each has its own proof in the tree of the newest checkpoint."""
    facts = sum(segment.count for segment in manifest.streams[FACTS].segments)
    found: list[Finding] = []
    size = checkpoints[-1].size if checkpoints else 0
    if checkpoints:
        try:
            bad = await proofs.unproven(storage, manifest, checkpoints[-1])
            found += [Finding(kind="changed", sequence=one, detail="it is not proven") for one in bad if one <= size]
        except (Damaged, NotFound) as error:
            found.append(Finding(kind="unreadable", sequence=0, detail=str(error)))
    return Verdict(
        facts=facts, size=size, root=checkpoints[-1].root.hex() if checkpoints else "", checkpoints=len(checkpoints),
        signed=size, located=True, findings=found, deviations=len(found),
    )  # fmt: skip


def not_covered(examined: Examined) -> list[str]:
    """What no signature says, a sentence each."""
    verdict, manifest = examined.verdict, examined.manifest
    found: list[str] = []
    if examined.signed is None:
        found.append("signals, tables and keys, and whether files were taken out: the manifest is not signed")
        if verdict.facts > verdict.signed and not manifest.workspace:
            found.append(f"facts from {verdict.signed + 1:,} on: no checkpoint is over them")
    else:
        found.append("signals that had expired or were erased before the export, and that any signal is true")
    return found

"""Verify a ledger: its facts against stored leaf hashes, and both against every signed checkpoint.

Nothing is read here: facts, tiles and notes are handed in, from a stream or from an export.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from trialbook.audit.checkpoint import Checkpoint, KeyNote, parse_text
from trialbook.audit.comparing import Comparing, Stored
from trialbook.audit.findings import Finding, Findings, Verdict
from trialbook.audit.leaf import leaf_hashes
from trialbook.audit.merkle import Growing
from trialbook.audit.notes import InvalidNote, parse
from trialbook.audit.signer import PublicKey, verified

Fact = tuple[int, str, bytes]
"""Sequence, subject, payload."""


class History(msgspec.Struct, frozen=True):
    """The checkpoints that known keys have signed, ascending, what is wrong with the others, and the keys valid now."""

    checkpoints: list[Checkpoint]
    findings: list[Finding]
    keys: list[PublicKey]


def history(notes: Iterable[bytes], keys: Sequence[PublicKey], origin: str = "") -> History:
    """Read notes in the order in which they were appended. ``keys``: of the log at its beginning; key notes add
    theirs and end those before. ``origin``: only this log's; empty: that of the first checkpoint.
    """
    found: list[Checkpoint] = []
    findings: list[Finding] = []
    trusted, known = list(keys), list(keys)
    for number, data in enumerate(notes, 1):
        try:
            said = _said(data, trusted, known)
            if said is None:
                continue
            origin = origin or said.origin
            if said.origin == origin and _follows(found[-1] if found else None, said):
                found.append(said)
        except InvalidNote as error:
            findings.append(Finding(kind="signature", sequence=0, detail=f"note {number}: {error}"))
        except _Backwards as error:
            findings.append(Finding(kind="checkpoint", sequence=error.size, detail=f"note {number}: {error}"))
    return History(found, findings, trusted)


class _Backwards(Exception):
    """A checkpoint of fewer facts than the one before, or of as many with another head."""

    def __init__(self, before: Checkpoint, said: Checkpoint) -> None:
        super().__init__(f"{said.size} facts with this head do not follow the {before.size} signed before")
        self.size = said.size


def _said(data: bytes, trusted: list[PublicKey], known: list[PublicKey]) -> Checkpoint | None:
    """The checkpoint of a note; None: the note names a key, which counts from now on. Raises ``InvalidNote``."""
    note = parse(data)
    said = parse_text(note.text)
    signers = verified(note, known)
    if isinstance(said, KeyNote):
        _rotated(said, signers, trusted, known)
        return None
    if not any(key in trusted for key in signers):
        raise InvalidNote("it is signed with a key that was replaced before")
    return said


def _follows(before: Checkpoint | None, said: Checkpoint) -> bool:
    """Whether it says something new (a cosigned copy does not). Raises ``_Backwards``."""
    if before is None:
        return True
    if said.size < before.size or (said.size == before.size and said.root != before.root):
        raise _Backwards(before, said)
    return said.size > before.size


def _rotated(said: KeyNote, signers: list[PublicKey], trusted: list[PublicKey], known: list[PublicKey]) -> None:
    """Accept a new key in place of the old one. Raises ``InvalidNote`` when the old one has not signed or is gone."""
    if said.old not in signers or said.old not in trusted:
        raise InvalidNote("the key that it replaces is not valid, or has not signed")
    if said.new not in trusted:
        trusted.append(said.new)
        known.append(said.new)
    trusted.remove(said.old)


class Verification:
    """One pass over the facts, in order: ``take`` batches, then ``finish``.

    ``stored`` gives leaf hashes by sequence, ``stored_size`` many (0: there are none, and only the first checkpoint
    that does not hold can be told). ``after``: the facts up to there are not at hand, their stored hashes count.
    """

    def __init__(
        self, checkpoints: Sequence[Checkpoint], stored: Stored | None = None, stored_size: int = 0, after: int = 0
    ) -> None:
        self._checkpoints = list(checkpoints)
        self._stored, self._stored_size, self._after = stored, stored_size if stored else 0, after
        self._comparing = Comparing(self._hash_of, after) if stored else None
        self._tree = Growing()
        self._facts, self._last, self._next, self._bad = 0, after, 0, 0
        self.findings = Findings()

    @property
    def facts(self) -> int:
        """How many have been taken."""
        return self._facts

    def take(self, facts: Sequence[Fact]) -> None:
        """The next facts of the stream."""
        found = leaf_hashes(facts)
        self._facts += len(facts)
        if self._comparing is not None:
            self._compare(self._comparing, facts, found)
        elif facts and self._whole(facts):
            self._grow(found)

    def finish(self) -> Verdict:
        """The verdict."""
        if self._comparing is not None:
            self.findings.extend(list(self._comparing.findings(self._stored_size)))
        self._unreached()
        findings = self.findings
        return Verdict(
            facts=self._facts, size=self._tree.size, root=self._tree.head().hex(), checkpoints=len(self._checkpoints),
            signed=self._checkpoints[-1].size if self._checkpoints else 0, located=self._comparing is not None,
            findings=findings.kept, deviations=findings.count,
        )  # fmt: skip

    def grow(self, stored: Sequence[bytes]) -> None:
        """The next stored leaf hashes, in order: they must add up to what was signed."""
        self._grow(stored)

    def _hash_of(self, sequence: int) -> bytes | None:
        assert self._stored is not None, "only asked with stored hashes"
        return self._stored(sequence) if sequence <= self._stored_size else None

    def _compare(self, comparing: Comparing, facts: Sequence[Fact], found: Sequence[bytes]) -> None:
        """Runs of facts that fit are passed at once; the others one by one."""
        place = 0
        while place < len(facts):
            sequence = facts[place][0]
            end = place
            if comparing.distance == 0:
                while end < len(facts) and facts[end][0] == sequence + end - place:
                    if self._hash_of(facts[end][0]) != found[end]:
                        break
                    end += 1
            if end > place:
                comparing.fits(sequence, facts[end - 1][0])
                place = end
                continue
            if sequence > self._stored_size and comparing.distance == 0:
                break  # younger than the stored hashes
            comparing.take(*facts[place])
            place += 1

    def _whole(self, facts: Sequence[Fact]) -> bool:
        """Without stored hashes, holes in the numbers are all that can be seen of single facts; behind one nothing
        adds up any more.
        """
        for sequence, _, _ in facts:
            if sequence != self._last + 1:
                until = sequence - 1 if sequence - 1 > self._last + 1 else 0
                self.findings.add(Finding(kind="lost", sequence=self._last + 1, until=until))
                self._next = len(self._checkpoints)
            self._last = sequence
        return self._next < len(self._checkpoints) or not self.findings.count

    def _grow(self, leaves: Sequence[bytes]) -> None:
        """Add leaves, stopping at each signed size to compare the heads."""
        end = self._tree.size + len(leaves)
        while self._next < len(self._checkpoints) and (checkpoint := self._checkpoints[self._next]).size <= end:
            used = len(leaves) - (end - self._tree.size)
            self._tree.extend(leaves[used : used + checkpoint.size - self._tree.size])
            self._next += 1
            if not self._bad and self._tree.head() != checkpoint.root:
                self._bad = checkpoint.size
                self._mismatch(checkpoint)
        self._tree.extend(leaves[len(leaves) - (end - self._tree.size) :])

    def _mismatch(self, checkpoint: Checkpoint) -> None:
        before = self._checkpoints[self._next - 2].size if self._next > 1 else 0
        if self._comparing is not None:
            detail = f"stored hashes {before + 1} to {checkpoint.size} do not add up to the signed head"
            self.findings.add(Finding(kind="tiles", sequence=before + 1, until=checkpoint.size, detail=detail))
        else:
            detail = f"the signed head of {checkpoint.size} facts does not hold; that of {before} did"
            self.findings.add(Finding(kind="checkpoint", sequence=before + 1, until=checkpoint.size, detail=detail))

    def _unreached(self) -> None:
        """Checkpoints over more facts than there are."""
        size = self._tree.size
        if self._next < len(self._checkpoints):
            until = self._checkpoints[-1].size
            detail = f"{until} facts were signed, {size} are there"
            self.findings.add(Finding(kind="lost", sequence=size + 1, until=until, detail=detail))

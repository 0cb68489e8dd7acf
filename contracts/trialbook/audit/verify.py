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
from trialbook.audit.notes import InvalidNote, Note, parse
from trialbook.audit.signer import LOG, PublicKey, verified
from trialbook.audit.tiles import hashes

Fact = tuple[int, str, bytes]
"""Sequence, subject, payload."""
AT_ONCE = 1 << 16
"""Stored hashes that are added up at once."""


class History(msgspec.Struct, frozen=True):
    """The checkpoints that known keys have signed, ascending, what is wrong with the others, and the keys valid now."""

    checkpoints: list[Checkpoint]
    findings: list[Finding]
    keys: list[PublicKey]


class Chain:
    """The checkpoints of one log, taken note by note in the order in which they were appended.

    ``keys`` are those of the log at its beginning; a key note adds its new key and ends the old one. Notes of other
    logs are passed over; without ``origin`` the log is that of the first checkpoint that a key has signed.
    """

    def __init__(self, keys: Sequence[PublicKey], origin: str = "", last: Checkpoint | None = None) -> None:
        """``last``: the checkpoint that was taken before, where the notes before are known already."""
        self.keys, self.known = list(keys), list(keys)
        self.origin = origin or (last.origin if last else "")
        self.last = last
        self.findings: list[Finding] = []

    def take(self, data: bytes, number: int = 0) -> Checkpoint | None:
        """The checkpoint that a note is; None for what is none of this log, names a key, or is a finding."""
        try:
            said = self._said(data)
        except InvalidNote as error:
            self.findings.append(Finding(kind="signature", sequence=0, detail=f"note {number}: {error}"))
            return None
        if said is None:
            return None
        before, self.origin = self.last, self.origin or said.origin
        if before and (said.size < before.size or (said.size == before.size and said.root != before.root)):
            detail = f"note {number} of {said.size} facts does not follow the one of {before.size}"
            self.findings.append(Finding(kind="checkpoint", sequence=said.size, detail=detail))
            return None
        self.last = said
        return said

    def _said(self, data: bytes) -> Checkpoint | None:
        note = parse(data)
        said = parse_text(note.text)
        origin = said.old.name if isinstance(said, KeyNote) else said.origin
        if self.origin and origin != self.origin:
            return None
        signers = verified(note, self.known)
        if isinstance(said, KeyNote):
            self._rotate(said, signers, note)
            return None
        if said != self.last and not any(key in self.keys for key in signers):
            raise InvalidNote("it is signed with a key that was replaced before")
        return said  # a copy of the last one may come after its key was replaced, with a cosignature

    def _rotate(self, said: KeyNote, signers: list[PublicKey], note: Note) -> None:
        """Accept a new key in place of the old one. Raises ``InvalidNote`` unless both are of this log and signed."""
        if said.old not in signers or said.old not in self.keys:
            raise InvalidNote("the key that it replaces is not valid, or has not signed")
        if said.new.name != said.old.name or said.new.kind != LOG:
            raise InvalidNote("the new key is not one of this log")
        verified(note, [said.new])
        self.keys = [key for key in self.keys if key != said.old]
        for keys in (self.keys, self.known):
            if said.new not in keys:
                keys.append(said.new)


def history(notes: Iterable[bytes], keys: Sequence[PublicKey], origin: str = "") -> History:
    """Everything that notes say, in the order in which they were appended; see ``Chain``."""
    chain = Chain(keys, origin)
    found: list[Checkpoint] = []
    for number, data in enumerate(notes, 1):
        said = chain.take(data, number)
        if said is not None and (not found or said.size > found[-1].size):
            found.append(said)
    return History(found, chain.findings, chain.keys)


class Verification:
    """One pass over the facts, in order: ``take`` batches, then ``finish``.

    ``stored`` gives leaf hashes, ``size`` of them (without any, only the first checkpoint that does not hold can be
    told). ``after``: the facts up to there are not at hand, their stored hashes count.
    """

    def __init__(
        self, checkpoints: Sequence[Checkpoint], stored: Stored | None = None, size: int = 0, after: int = 0
    ) -> None:
        self._checkpoints = list(checkpoints)
        self._stored, self._size, self._after = stored, size if stored else 0, after
        self._comparing = Comparing(stored, size, after) if stored else None
        self.tree = Growing(keep=True)
        self._facts, self._last, self._next, self._bad = 0, after, 0, 0
        self.findings = Findings()

    @property
    def facts(self) -> int:
        """How many have been taken."""
        return self._facts

    def take(self, facts: Sequence[Fact]) -> None:
        """The next facts, at least one."""
        found = leaf_hashes(facts)
        self._facts += len(facts)
        if self._stored is None or self._comparing is None:
            if self._whole(facts):
                self._grow(found)
            return
        first, last = facts[0][0], facts[-1][0]
        whole = self._comparing.distance == 0 and last - first + 1 == len(facts) and last <= self._size
        if whole and self._stored(first, last) == b"".join(found):
            self._comparing.fits(first, last)
            self._last = last
            if self.tree.size == first - 1:
                self._grow(found)
        else:
            self._compare(self._comparing, facts)

    def finish(self) -> Verdict:
        """The verdict."""
        if self._stored is not None and self._comparing is not None:
            self.findings.extend(list(self._comparing.findings()))
            while self.tree.size < self._size:
                first = self.tree.size + 1
                self._grow(hashes(self._stored(first, min(self._size, first + AT_ONCE - 1))))
        if self._next < len(self._checkpoints):
            until, size = self._checkpoints[-1].size, self.tree.size
            detail = f"{until} facts were signed, {size} are there"
            self.findings.add(Finding(kind="lost", sequence=size + 1, until=until, detail=detail))
        findings = self.findings
        return Verdict(
            facts=self._facts, size=self.tree.size, root=self.tree.head().hex(), checkpoints=len(self._checkpoints),
            signed=self._checkpoints[-1].size if self._checkpoints else 0, located=self._comparing is not None,
            findings=findings.kept, deviations=findings.count,
        )  # fmt: skip

    def _compare(self, comparing: Comparing, facts: Sequence[Fact]) -> None:
        for sequence, subject, payload in facts:
            if sequence > self._size and comparing.distance == 0:
                break  # younger than the stored hashes
            if sequence <= self._last:
                detail = f"behind fact {self._last}"
                self.findings.add(Finding(kind="reordered", sequence=sequence, detail=detail))
            self._last = max(self._last, sequence)
            comparing.take(sequence, subject, payload)

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
        end = self.tree.size + len(leaves)
        while self._next < len(self._checkpoints) and (checkpoint := self._checkpoints[self._next]).size <= end:
            used = len(leaves) - (end - self.tree.size)
            self.tree.extend(leaves[used : used + checkpoint.size - self.tree.size])
            self._next += 1
            if not self._bad and self.tree.head() != checkpoint.root:
                self._bad = checkpoint.size
                self._mismatch(checkpoint)
        self.tree.extend(leaves[len(leaves) - (end - self.tree.size) :])

    def _mismatch(self, checkpoint: Checkpoint) -> None:
        before = self._checkpoints[self._next - 2].size if self._next > 1 else 0
        if self._comparing is not None:
            detail = f"stored hashes {before + 1} to {checkpoint.size} do not add up to the signed head"
            self.findings.add(Finding(kind="tiles", sequence=before + 1, until=checkpoint.size, detail=detail))
        else:
            detail = f"the signed head of {checkpoint.size} facts does not hold; that of {before} did"
            self.findings.add(Finding(kind="checkpoint", sequence=before + 1, until=checkpoint.size, detail=detail))

"""What a verification has to say: findings that name sequences, and the verdict over all of them."""

from __future__ import annotations

from typing import Literal

import msgspec

Kind = Literal["changed", "lost", "inserted", "reordered", "tiles", "checkpoint", "signature", "key", "unreadable"]
MAX_FINDINGS = 1000
"""As many are kept; how many there are is counted beyond."""


class Finding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One deviation. ``sequence`` to ``until`` (inclusive; 0: that one alone) are the facts concerned.

    ``changed``: another content than was hashed. ``lost``: hashed, but not there. ``inserted``: there, but never
    hashed. ``reordered``: the fact stands at ``at``. ``tiles``: stored hashes do not add up to a signed head.
    ``checkpoint``: a signed head does not hold. ``signature``/``key``: a note not signed by a known key.
    ``unreadable``: what should be verified cannot be read.
    """

    kind: Kind
    sequence: int
    until: int = 0
    at: int = 0
    detail: str = ""

    @property
    def text(self) -> str:
        """One line for people."""
        place = f"{self.sequence}-{self.until}" if self.until > self.sequence else f"{self.sequence}"
        where = f", stands at {self.at}" if self.at else ""
        return f"{self.kind} {place}{where}" + (f": {self.detail}" if self.detail else "")


class Findings:
    """Collects, with a bound."""

    def __init__(self) -> None:
        self.kept: list[Finding] = []
        self.count = 0

    def add(self, finding: Finding) -> None:
        """Note a deviation."""
        self.count += 1
        if len(self.kept) < MAX_FINDINGS:
            self.kept.append(finding)

    def extend(self, findings: list[Finding]) -> None:
        """Note several."""
        for finding in findings:
            self.add(finding)


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome. ``facts``: how many were hashed; ``size`` and ``root`` (hex): what they add up to.

    ``checkpoints`` were verified, the last of ``signed`` facts; ``located``: stored hashes told which facts deviate.
    """

    facts: int
    size: int
    root: str
    checkpoints: int
    signed: int
    located: bool
    findings: list[Finding] = []
    deviations: int = 0

    @property
    def intact(self) -> bool:
        """Whether nothing deviates."""
        return self.deviations == 0


def ranges(sequences: list[int]) -> list[tuple[int, int]]:
    """Ascending sequences as inclusive ranges."""
    found: list[tuple[int, int]] = []
    for sequence in sequences:
        if found and sequence == found[-1][1] + 1:
            found[-1] = (found[-1][0], sequence)
        else:
            found.append((sequence, sequence))
    return found

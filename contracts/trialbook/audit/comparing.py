"""Which facts deviate from stored leaf hashes: changed, lost, inserted or reordered, each by its sequence.

Facts come in the order of the stream; every stored hash says what the fact of that sequence was. After a fact that does
not fit, the facts behind it are tried a few places away: when two in a row fit at the same distance, facts were taken
out or put in with all later ones renumbered, and the comparison goes on at that distance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from trialbook.audit.findings import MAX_FINDINGS, Finding, ranges
from trialbook.audit.leaf import leaf_hash

NEAR = 64
"""How far away a fact is looked for at once; at the end every odd fact is looked for at every empty place."""
MAX_ODD = 1000
"""Facts kept for that; with more than these a ledger is another one altogether."""

Stored = Callable[[int, int], bytes]
"""First and last sequence -> their leaf hashes, 32 bytes each, one after the other."""


class _Odd:
    """A fact that does not fit where it stands; ``distance`` to where it would (None: nowhere near)."""

    def __init__(self, sequence: int, subject: str, payload: bytes, distance: int | None) -> None:
        self.sequence, self.subject, self.payload, self.distance = sequence, subject, payload, distance


class Comparing:
    """Feed it facts that deviate, one by one, and ``fits`` for stretches that do not; ask ``findings`` at the end."""

    def __init__(self, stored: Stored, size: int, after: int = 0) -> None:
        """``size`` hashes are stored. ``after``: the facts up to there are not compared."""
        self._stored, self._size = stored, size
        self.distance = 0
        """Stored sequence of a fact minus the one it stands at."""
        self._reach = after + 1  # the stored sequences below have been passed
        self._missing: set[int] = set()
        self._missing_count = 0
        self._pending: list[_Odd] = []
        self._odd: list[_Odd] = []
        self._odd_count = 0
        self._copies: list[int] = []  # where facts stand that stood before already

    def fits(self, first: int, last: int) -> None:
        """The facts standing at ``first`` to ``last`` are those stored there at the present distance."""
        self._settle()
        self._passed(first + self.distance, last + self.distance)

    def take(self, sequence: int, subject: str, payload: bytes) -> None:
        """One fact that may or may not fit."""
        stored = sequence + self.distance
        if self._is(stored, subject, payload):
            self._settle()
            self._passed(stored, stored)
            return
        shift = self._near(stored, subject, payload) if self._odd_count < MAX_ODD else 0
        distance = stored + shift - sequence if shift else None
        before = self._pending[-1] if self._pending else None
        self._pending.append(_Odd(sequence, subject, payload, distance))
        if distance is not None and before is not None and before.distance == distance:
            self._move(distance)
        elif len(self._pending) > NEAR:
            self._put_aside(self._pending.pop(0))

    def findings(self) -> Iterator[Finding]:
        """Everything that deviates, once all facts have been taken."""
        self._settle()
        self._leave(self._reach, self._size)
        strange: list[int] = list(self._copies)
        for odd in self._odd:
            place = self._home(odd)
            if place:
                self._missing.discard(place)
                yield Finding(kind="reordered", sequence=place, at=odd.sequence)
            else:
                strange.append(odd.sequence)
        taken = [sequence for sequence in strange if sequence in self._missing]
        self._missing.difference_update(taken)
        for kind, sequences in (("changed", taken), ("inserted", sorted(set(strange) - set(taken)))):
            for first, last in ranges(sequences):
                yield Finding(kind=kind, sequence=first, until=last if last > first else 0)  # type: ignore[arg-type] # both are kinds
        for first, last in ranges(sorted(self._missing)):
            yield Finding(kind="lost", sequence=first, until=last if last > first else 0)
        if self._odd_count > len(self._odd) or self._missing_count > MAX_FINDINGS * 64:
            yield Finding(
                kind="changed", sequence=self._odd[0].sequence if self._odd else self._reach,
                detail=f"{self._odd_count} facts deviate in all; the first ones are named",
            )  # fmt: skip

    def _is(self, stored: int, subject: str, payload: bytes) -> bool:
        if not 0 < stored <= self._size:
            return False
        return leaf_hash(stored, subject, payload) == self._stored(stored, stored)

    def _near(self, stored: int, subject: str, payload: bytes) -> int:
        for step in range(1, NEAR + 1):
            for shift in (step, -step):
                if self._is(stored + shift, subject, payload):
                    return shift
        return 0

    def _move(self, distance: int) -> None:
        """The last pending facts with this distance fit at it; those before do not fit at all."""
        fitting: list[_Odd] = []
        while self._pending and self._pending[-1].distance == distance:
            fitting.insert(0, self._pending.pop())
        self._settle()
        self.distance = distance
        self._passed(fitting[0].sequence + distance, fitting[-1].sequence + distance)

    def _settle(self) -> None:
        for odd in self._pending:
            self._put_aside(odd)
        self._pending.clear()

    def _put_aside(self, odd: _Odd) -> None:
        self._odd_count += 1
        if len(self._odd) < MAX_ODD:
            self._odd.append(odd)

    def _passed(self, first: int, last: int) -> None:
        """The stored sequences ``first`` to ``last`` have their facts; what was skipped before them is missing."""
        self._leave(self._reach, first - 1)
        for stored in range(first, min(last, self._reach - 1) + 1):
            if stored in self._missing:
                self._missing.remove(stored)
            elif len(self._copies) < MAX_ODD:
                self._copies.append(stored - self.distance)
        self._reach = max(self._reach, last + 1)

    def _leave(self, first: int, last: int) -> None:
        self._missing_count += max(0, last - first + 1)
        room = MAX_FINDINGS * 64 - len(self._missing)
        self._missing.update(range(first, min(last, first + room - 1) + 1))

    def _home(self, odd: _Odd) -> int:
        """The empty place that this fact was taken from; 0: none."""
        if odd.distance is not None and odd.sequence + odd.distance in self._missing:
            return odd.sequence + odd.distance
        for place in sorted(self._missing)[: MAX_ODD * 2]:
            if self._is(place, odd.subject, odd.payload):
                return place
        return 0

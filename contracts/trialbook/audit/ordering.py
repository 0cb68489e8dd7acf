"""Facts that stand in a file in another order than that of their sequences."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise

from trialbook.audit.findings import Finding


def misplaced(sequences: Sequence[int]) -> dict[int, Finding]:
    """Places (from 0) whose facts have to be moved or taken out for the rest to ascend: as few as possible.

    A fact that has the sequence of one that stays was put in; each other one was reordered, and stands where the fact
    ``at`` is expected.
    """
    if all(earlier < later for earlier, later in pairwise(sequences)):
        return {}
    staying = _ascending(sequences)
    known = {sequences[place] for place in staying}
    found: dict[int, Finding] = {}
    expected = sorted({*sequences})
    for place in sorted(set(range(len(sequences))) - staying):
        sequence = sequences[place]
        if sequence in known:
            found[place] = Finding(kind="inserted", sequence=sequence, detail="it is there already")
        else:
            known.add(sequence)
            found[place] = Finding(kind="reordered", sequence=sequence, at=expected[min(place, len(expected) - 1)])
    return found


def _ascending(sequences: Sequence[int]) -> set[int]:
    """Places of a longest strictly ascending part."""
    ends: list[int] = []
    places: list[int] = []
    before: list[int] = []
    for place, sequence in enumerate(sequences):
        length = bisect_left(ends, sequence)
        before.append(places[length - 1] if length else -1)
        if length == len(ends):
            ends.append(sequence)
            places.append(place)
        else:
            ends[length], places[length] = sequence, place
    found: set[int] = set()
    place = places[-1]
    while place >= 0:
        found.add(place)
        place = before[place]
    return found

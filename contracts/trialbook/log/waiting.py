"""Where the queues of an imported ledger begin: entries of runs that have ended are not handed out again.

A consumer of a queue starts with the first entry of a run that has not ended, or behind everything that was imported.
So a start costs what has happened in a queue since its oldest unfinished entry, however long the ledger is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from trialbook.aggregates import RUN
from trialbook.log.purged import KEPT

STARTS = "trialbook.queues"
MAX_QUEUES = 500
"""Metadata has little room: with more queues they all begin where the first of them does."""
ENDED = KEPT[RUN.kind] - {"created"}
"""Names of facts after which a run has no entry in a queue, until another one is queued."""
ENTRIES = frozenset({"submitted", "queued"})


class Waiting:
    """Follows facts in their order, by their subjects alone; remembers the entries of unfinished runs only."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, str], tuple[str, int]] = {}
        self._last = 0

    def take(self, facts: Iterable[tuple[int, str]]) -> None:
        """The next sequences and subjects."""
        for sequence, subject in facts:
            self._last = sequence
            _, workspace, kind, id_, name, *queue = subject.split(".")
            if kind != RUN.kind:
                continue
            if name in ENTRIES and len(queue) == 2:
                self._entries[workspace, id_] = (".".join(queue), sequence)
            elif name in ENDED:
                self._entries.pop((workspace, id_), None)

    def starts(self) -> str:
        """For the metadata of FACTS: where each queue begins, and under ``""`` where all others do."""
        first: dict[str, int] = {}
        for queue, sequence in self._entries.values():
            first[queue] = min(first.get(queue, sequence), sequence)
        if len(first) > MAX_QUEUES:
            return msgspec.json.encode({"": min(first.values())}).decode()
        return msgspec.json.encode(first | {"": self._last + 1}).decode()


def start_of(info: Mapping[str, Any], pool: str, priority: str) -> int:
    """The first sequence of a queue's consumer, from an answer to ``STREAM.INFO``; 1: it sees everything."""
    text = (info["config"].get("metadata") or {}).get(STARTS, "")
    if not text:
        return 1
    starts = msgspec.json.decode(text, type=dict[str, int])
    return starts.get(f"{pool}.{priority}", starts[""])

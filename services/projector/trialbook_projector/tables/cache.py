"""What the projector keeps in memory: the newest state of runs and items, and what runs have emitted.

The event loop alone changes the caches, after a commit; the writer and the readers only look things up.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Generic, TypeVar

import msgspec

from trialbook.domain.run import RunState

V = TypeVar("V")


class RunEntry(msgspec.Struct, frozen=True, gc=False):
    """A run as of ``sequence``; ``created`` is the sequence of its first fact. ``state`` is without effects and
    checkpoint, which no reader sees and which can be large.
    """

    created: int
    workspace: str
    id: str
    sequence: int
    state: RunState


class ItemEntry(msgspec.Struct, frozen=True, gc=False):
    """A workspace, file, dataset or model as of ``sequence``."""

    created: int
    kind: str
    workspace: str
    id: str
    sequence: int
    created_at: str
    state: Any


class Emitted(msgspec.Struct, frozen=True, gc=False):
    """What one attempt of a run has emitted of one kind; times in Unix microseconds. ``latest``: the last progress."""

    first_cursor: int
    workspace: str
    run: str
    attempt: int
    kind: str
    name: str
    count: int
    last_cursor: int
    first_time: int
    last_time: int
    latest: str | None


class LatestProgress(msgspec.Struct, frozen=True, gc=False):
    """A run's last progress signal as JSON text, with its cursor."""

    cursor: int
    json: str


class Lru(Generic[V]):
    """A bounded map that forgets what was not used for longest.

    ``complete``: nothing was ever forgotten since the tables were empty, so a miss means "does not exist".
    """

    def __init__(self, capacity: int, *, complete: bool) -> None:
        self._items: OrderedDict[str, V] = OrderedDict()
        self._capacity = capacity
        self.complete = complete

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, key: str) -> bool:
        return key in self._items

    def get(self, key: str) -> V | None:
        """Look up without changing the order: safe in any thread."""
        return self._items.get(key)

    def put(self, key: str, value: V) -> str | None:
        """Store as the newest; returns the key that was forgotten for it, if any."""
        self._items[key] = value
        self._items.move_to_end(key)
        if len(self._items) <= self._capacity:
            return None
        self.complete = False
        return self._items.popitem(last=False)[0]

    def clear(self) -> None:
        """Forget everything."""
        self._items.clear()
        self.complete = False

    def drop(self, key: str) -> None:
        """Forget one key."""
        if self._items.pop(key, None) is not None:
            self.complete = False

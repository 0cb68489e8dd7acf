"""The decider: three pure parts, no base class, no IO."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Generic, TypeVar

import msgspec

C = TypeVar("C")
S = TypeVar("S")
E = TypeVar("E")


class Decider(msgspec.Struct, Generic[C, S, E], frozen=True):
    """The three parts of an aggregate.

    ``initial()`` is the state of something that never happened; ``decide(command, state, now)`` gives new events or
    raises a ``Refusal``; ``evolve(state, event, at)`` folds one event, ``at`` being the envelope's time (RFC 3339
    UTC). ``evolve_all(state, history)`` is the same for many events, where that can be done in less time.
    """

    initial: Callable[[], S]
    decide: Callable[[C, S, datetime], Sequence[E]]
    evolve: Callable[[S, E, str], S]
    evolve_all: Callable[[S, Iterable[tuple[E, str]]], S] | None = None

    def fold(self, history: Iterable[tuple[E, str]], state: S | None = None) -> S:
        """Fold ``(event, at)`` pairs over a state (default: the initial one)."""
        current = self.initial() if state is None else state
        if self.evolve_all is not None:
            return self.evolve_all(current, history)
        for event, at in history:
            current = self.evolve(current, event, at)
        return current

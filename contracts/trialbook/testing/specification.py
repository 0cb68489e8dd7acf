"""Given past events, when a command comes, then these events (or this refusal, or nothing) follow."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from trialbook.aggregates import AGGREGATES
from trialbook.errors import Refusal
from trialbook.times import rfc3339

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Specification:
    """A decider with a history, and what happened when it was given a command."""

    def __init__(self, kind: str, history: Sequence[Any], now: datetime = NOW) -> None:
        self._decider = AGGREGATES[kind].decider
        self._now = now
        self.state = self._decider.fold((event, rfc3339(now)) for event in history)
        self.events: list[Any] = []
        self.refusal: Refusal | None = None

    def when(self, command: Any) -> Specification:
        """Decide; the new events are folded, so that several ``when`` tell a story."""
        try:
            self.events = list(self._decider.decide(command, self.state, self._now))
        except Refusal as refusal:
            self.events, self.refusal = [], refusal
            return self
        self.refusal = None
        self.state = self._decider.fold(((event, rfc3339(self._now)) for event in self.events), self.state)
        return self

    def then(self, *events: Any) -> Specification:
        """Exactly these events followed."""
        assert self.refusal is None, f"refused: {self.refusal}"
        assert self.events == list(events), f"expected {list(events)}, got {self.events}"
        return self

    def then_nothing(self) -> Specification:
        """It had been carried out before: no event, no refusal."""
        return self.then()

    def then_refused(self, code: str) -> Specification:
        """It was refused with this code."""
        assert self.refusal is not None, f"not refused; events: {self.events}"
        assert self.refusal.code == code, f"expected {code}, got {self.refusal.code}: {self.refusal.detail}"
        return self


def given(kind: str, *history: Any, now: datetime = NOW) -> Specification:
    """Begin a specification of one aggregate kind."""
    return Specification(kind, history, now)

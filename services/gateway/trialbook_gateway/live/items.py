"""What followers hand out, and the cursor that resumes after any of it."""

from __future__ import annotations

import re
from typing import Any, Literal

import msgspec

from trialbook.envelope import Event
from trialbook_gateway.problems import HttpRefusal

Kind = Literal["log", "metric", "progress", "fact", "status"]
KINDS: tuple[Kind, ...] = ("log", "metric", "progress", "fact", "status")
_CURSOR = re.compile(r"(\d{1,15})-(\d{1,19})")
_CURSOR_MAX = (1 << 63) - 1
_encode = msgspec.json.Encoder().encode


class Position(msgspec.Struct, frozen=True):
    """How far a follower is: the last fact's sequence and the last signal's cursor."""

    facts: int = 0
    signals: int = 0

    def __str__(self) -> str:
        return f"{self.facts}-{self.signals}"


def parse_cursor(text: str) -> Position:
    """The position in a cursor given by a client; empty: the beginning. Raises 422 ``invalid_cursor``."""
    if not text:
        return Position()
    found = _CURSOR.fullmatch(text)
    if found is None or int(found[2]) > _CURSOR_MAX or not text.isascii():
        raise HttpRefusal(422, "invalid_cursor", "This is not a cursor of a live stream; use one that a message gave.")
    return Position(int(found[1]), int(found[2]))


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """The run's status has changed; ``final``: nothing follows. ``error`` is the verdict's, if it failed."""

    run: str
    status: str
    final: bool
    sequence: int
    time: str | None
    attempt: int = 0
    error: dict[str, Any] | None = None


class FactView(msgspec.Struct, frozen=True, kw_only=True):
    """A fact with its place in the ledger."""

    sequence: int
    event: Event


class ProgressView(msgspec.Struct, frozen=True, kw_only=True):
    """How far the run is: ``done`` of ``total`` (0: unknown) in ``unit``; ``time`` RFC 3339 UTC."""

    time: str
    done: float
    total: float
    unit: str
    message: str
    step: str | None


class Item(msgspec.Struct):
    """One thing to hand out. ``facts`` and ``signals`` are its own place in the streams, 0 where it has none."""

    kind: Kind
    value: Any
    """LogView, MetricPoint, ProgressView, FactView or Status."""
    facts: int = 0
    signals: int = 0
    time: str = ""
    level: int = 0
    _text: str = ""

    def text(self, cursor: str) -> str:
        """The message as JSON. Its data is encoded once, however many clients get it."""
        if not self._text:
            self._text = _encode(self.value).decode()
        return f'{{"type":"{self.kind}","cursor":"{cursor}","data":{self._text}}}'

    @property
    def reached(self) -> int:
        """Up to which ledger sequence it tells of the run; 0: of what was emitted."""
        return self.value.sequence if isinstance(self.value, Status | FactView) else self.facts

    @property
    def final(self) -> bool:
        """Whether the stream ends with it."""
        return isinstance(self.value, Status) and self.value.final

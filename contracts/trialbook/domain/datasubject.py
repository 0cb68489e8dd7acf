"""The data subject aggregate: a person whose personal data facts hold sealed. Its id is that of the key, no name."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar

import msgspec
from msgspec.structs import replace

from trialbook.errors import Conflict, NotFound


class DataSubjectEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of data subject facts."""

    TYPE: ClassVar[str]


class Registered(DataSubjectEvent, frozen=True, kw_only=True):
    """A key exists; what is created for this subject is sealed with it."""

    TYPE = "datasubject.registered.v1"


class Erased(DataSubjectEvent, frozen=True, kw_only=True):
    """Somebody decided to erase: from here on nobody reads the sealed members, and nothing new is sealed."""

    TYPE = "datasubject.erased.v1"
    reason: str = ""


class Shredded(DataSubjectEvent, frozen=True, kw_only=True):
    """The erasure is carried out: the key is destroyed, and so many signals (messages) and stored blobs are gone."""

    TYPE = "datasubject.shredded.v1"
    aggregates: int
    signals: int
    blobs: int


EVENTS: tuple[type[DataSubjectEvent], ...] = (Registered, Erased, Shredded)


class DataSubjectState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of a data subject. Times are RFC 3339 UTC, empty: not yet."""

    exists: bool = False
    registered_at: str = ""
    erased_at: str = ""
    shredded_at: str = ""
    reason: str = ""
    aggregates: int = 0
    signals: int = 0
    blobs: int = 0


class Register(msgspec.Struct, frozen=True, kw_only=True):
    """Say that a key exists."""


class Erase(msgspec.Struct, frozen=True, kw_only=True):
    """Decide to erase. ``reason`` goes into the ledger in clear: it must name nobody."""

    reason: str = ""


class Shred(msgspec.Struct, frozen=True, kw_only=True):
    """Report that the erasure is carried out."""

    aggregates: int
    signals: int
    blobs: int


def initial() -> DataSubjectState:
    """Somebody never heard of."""
    return DataSubjectState()


def evolve(state: DataSubjectState, event: DataSubjectEvent, at: str) -> DataSubjectState:
    """Fold one fact."""
    match event:
        case Registered():
            return DataSubjectState(exists=True, registered_at=at)
        case Erased():
            return replace(state, erased_at=at, reason=event.reason)
        case Shredded():
            return replace(state, shredded_at=at, aggregates=event.aggregates, signals=event.signals, blobs=event.blobs)
    raise AssertionError(f"unknown event {type(event).__name__}")


def decide(command: Register | Erase | Shred, state: DataSubjectState, now: datetime) -> Sequence[DataSubjectEvent]:
    """New facts for a command."""
    if isinstance(command, Register):
        if state.erased_at:
            raise Conflict("data_subject_erased", "This data subject was erased; what is new needs another identifier.")
        return () if state.exists else (Registered(),)
    if not state.exists:
        raise NotFound("data_subject_not_found", "Nothing was ever stored for this data subject.")
    if isinstance(command, Erase):
        return () if state.erased_at else (Erased(reason=command.reason),)
    if not state.erased_at:
        raise Conflict("data_subject_not_erased", "This data subject was not erased.")
    if state.shredded_at:
        return ()
    return (Shredded(aggregates=command.aggregates, signals=command.signals, blobs=command.blobs),)

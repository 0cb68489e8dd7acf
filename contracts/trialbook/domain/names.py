"""A unique name in a workspace: claimed and released in the same atomic batch as the thing that bears it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar

import msgspec
from msgspec.structs import replace

from trialbook.errors import Conflict


class NameEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of name facts."""

    TYPE: ClassVar[str]


class Claimed(NameEvent, frozen=True, kw_only=True):
    """``owner`` bears the name now."""

    TYPE = "name.claimed.v1"
    scope: str
    name: str
    owner: str


class Released(NameEvent, frozen=True, kw_only=True):
    """Nobody bears the name."""

    TYPE = "name.released.v1"
    owner: str


EVENTS: tuple[type[NameEvent], ...] = (Claimed, Released)


class NameState(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who bears the name; empty: nobody."""

    owner: str = ""


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """Take the name; ``replace`` takes it from its present owner, or only from the owner ``replaces`` when given."""

    scope: str
    name: str
    owner: str
    replace: bool = False
    replaces: str = ""


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """Give the name back; no effect when somebody else bears it."""

    owner: str


def initial() -> NameState:
    """A name nobody ever bore."""
    return NameState()


def evolve(state: NameState, event: NameEvent, at: str) -> NameState:
    """Fold one fact."""
    return replace(state, owner=event.owner if isinstance(event, Claimed) else "")


def decide(command: Claim | Release, state: NameState, now: datetime) -> Sequence[NameEvent]:
    """Exactly one owner at a time."""
    if isinstance(command, Release):
        return (Released(owner=command.owner),) if state.owner == command.owner else ()
    if state.owner == command.owner:
        return ()
    if state.owner and not (command.replace and command.replaces in ("", state.owner)):
        raise Conflict("name_taken", f"The name {command.name!r} is taken; choose another one.", owner=state.owner)
    return (Claimed(scope=command.scope, name=command.name, owner=command.owner),)

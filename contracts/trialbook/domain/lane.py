"""The lane aggregate: runs that may only be executed one after another, in the order in which they were queued."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar

import msgspec
from msgspec.structs import replace


class LaneEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of lane facts."""

    TYPE: ClassVar[str]


class Joined(LaneEvent, frozen=True, kw_only=True):
    """A run was queued at the end of the lane; ``ticket`` names its queue entry."""

    TYPE = "lane.joined.v1"
    lane: str
    run: str
    ticket: str


class Left(LaneEvent, frozen=True, kw_only=True):
    """A run ended, was paused or gave up waiting."""

    TYPE = "lane.left.v1"
    run: str


EVENTS: tuple[type[LaneEvent], ...] = (Joined, Left)


class Place(msgspec.Struct, frozen=True, omit_defaults=True):
    """One run in the lane."""

    run: str
    ticket: str


class LaneState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who is in the lane, in order: the first one is inside, the others wait."""

    name: str = ""
    places: tuple[Place, ...] = ()

    @property
    def inside(self) -> Place | None:
        """The run that may be executed now."""
        return self.places[0] if self.places else None


class Join(msgspec.Struct, frozen=True, kw_only=True):
    """Queue a run at the end."""

    lane: str
    run: str
    ticket: str


class Leave(msgspec.Struct, frozen=True, kw_only=True):
    """Take a run out, wherever it stands; no effect when it is not there."""

    run: str


def initial() -> LaneState:
    """A lane that nobody ever joined."""
    return LaneState()


def evolve(state: LaneState, event: LaneEvent, at: str) -> LaneState:
    """Fold one fact."""
    if isinstance(event, Joined):
        return LaneState(name=event.lane, places=(*state.places, Place(event.run, event.ticket)))
    assert isinstance(event, Left), f"unknown event {type(event).__name__}"
    return replace(state, places=tuple(place for place in state.places if place.run != event.run))


def decide(command: Join | Leave, state: LaneState, now: datetime) -> Sequence[LaneEvent]:
    """New facts for a command."""
    there = any(place.run == command.run for place in state.places)
    if isinstance(command, Leave):
        return (Left(run=command.run),) if there else ()
    joined = Joined(lane=command.lane, run=command.run, ticket=command.ticket)
    return (Left(run=command.run), joined) if there else (joined,)

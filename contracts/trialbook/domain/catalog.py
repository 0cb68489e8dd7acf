"""The catalog aggregate: things under unique names, in the order in which they were added.

What must be decided over all of them at once (is the name free, is it the last one) is decided here, race-free.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar

import msgspec

from trialbook.errors import Conflict, NotFound


class CatalogEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of catalog facts."""

    TYPE: ClassVar[str]


class Added(CatalogEvent, frozen=True, kw_only=True):
    """A thing is listed under a name, after all others."""

    TYPE = "catalog.added.v1"
    id: str
    name: str


class Renamed(CatalogEvent, frozen=True, kw_only=True):
    """A thing has another name and keeps its place."""

    TYPE = "catalog.renamed.v1"
    id: str
    name: str


class Removed(CatalogEvent, frozen=True, kw_only=True):
    """A thing is no longer listed; its name is free."""

    TYPE = "catalog.removed.v1"
    id: str


EVENTS: tuple[type[CatalogEvent], ...] = (Added, Renamed, Removed)


class CatalogState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``names`` maps id to name, in order."""

    names: dict[str, str] = {}

    def find(self, name: str) -> str | None:
        """The id that is listed under a name."""
        return next((id_ for id_, known in self.names.items() if known == name), None)


class Add(msgspec.Struct, frozen=True, kw_only=True):
    """List a thing; with ``if_empty`` only when nothing is listed."""

    id: str
    name: str
    if_empty: bool = False


class Rename(msgspec.Struct, frozen=True, kw_only=True):
    """Give a thing another name."""

    id: str
    name: str


class Remove(msgspec.Struct, frozen=True, kw_only=True):
    """Take a thing from the list; the last one only when ``last`` says that the caller knows it is."""

    id: str
    last: bool | None = None


Command = Add | Rename | Remove


def initial() -> CatalogState:
    """An empty list."""
    return CatalogState()


def evolve(state: CatalogState, event: CatalogEvent, at: str) -> CatalogState:
    """Fold one fact."""
    if isinstance(event, Removed):
        return CatalogState(names={id_: name for id_, name in state.names.items() if id_ != event.id})
    assert isinstance(event, Added | Renamed), f"unknown event {type(event).__name__}"
    return CatalogState(names={**state.names, event.id: event.name})


def decide(command: Command, state: CatalogState, now: datetime) -> Sequence[CatalogEvent]:
    """New facts for a command."""
    match command:
        case Add():
            if state.names.get(command.id) == command.name:
                return ()
            if command.if_empty and state.names:
                raise Conflict("catalog_not_empty", "Something is listed already.")
            _free(state, command.name)
            return (Added(id=command.id, name=command.name),)
        case Rename():
            _listed(state, command.id)
            if state.names[command.id] == command.name:
                return ()
            _free(state, command.name)
            return (Renamed(id=command.id, name=command.name),)
        case Remove():
            _listed(state, command.id)
            if command.last is not None and command.last != (len(state.names) == 1):
                raise Conflict("catalog_changed", "Others were added or removed meanwhile.")
            return (Removed(id=command.id),)


def _free(state: CatalogState, name: str) -> None:
    if (owner := state.find(name)) is not None:
        raise Conflict("name_taken", f"The name {name!r} is taken; choose another one.", owner=owner)


def _listed(state: CatalogState, id_: str) -> None:
    if id_ not in state.names:
        raise NotFound("not_listed", "It is not listed.")

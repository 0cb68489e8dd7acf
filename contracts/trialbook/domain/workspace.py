"""The workspace aggregate: a tenant's room. Its id is the token in every subject; its title can change."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar

import msgspec
from msgspec.structs import replace

from trialbook.errors import Conflict, NotFound


class WorkspaceEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of workspace facts."""

    TYPE: ClassVar[str]


class Created(WorkspaceEvent, frozen=True, kw_only=True):
    """The workspace exists."""

    TYPE = "workspace.created.v1"
    title: str
    labels: dict[str, str] = {}
    command_id: str = ""
    digest: str = ""


class Renamed(WorkspaceEvent, frozen=True, kw_only=True):
    """It has another title."""

    TYPE = "workspace.renamed.v1"
    title: str


class Deleted(WorkspaceEvent, frozen=True, kw_only=True):
    """It is no longer listed and takes nothing new; its facts stay."""

    TYPE = "workspace.deleted.v1"


EVENTS: tuple[type[WorkspaceEvent], ...] = (Created, Renamed, Deleted)


class WorkspaceState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of a workspace."""

    exists: bool = False
    deleted: bool = False
    title: str = ""
    labels: dict[str, str] = {}
    created_at: str = ""
    command_id: str = ""
    digest: str = ""


class Create(msgspec.Struct, frozen=True, kw_only=True):
    """Open a workspace."""

    title: str
    labels: dict[str, str] = {}
    command_id: str = ""
    digest: str = ""


class Rename(msgspec.Struct, frozen=True, kw_only=True):
    """Give it another title."""

    title: str


class Delete(msgspec.Struct, frozen=True, kw_only=True):
    """Close it."""


def initial() -> WorkspaceState:
    """A workspace that was never created."""
    return WorkspaceState()


def evolve(state: WorkspaceState, event: WorkspaceEvent, at: str) -> WorkspaceState:
    """Fold one fact."""
    match event:
        case Created():
            return WorkspaceState(
                exists=True, title=event.title, labels=event.labels, created_at=at, command_id=event.command_id,
                digest=event.digest,
            )  # fmt: skip
        case Renamed():
            return replace(state, title=event.title)
        case Deleted():
            return replace(state, deleted=True)
    raise AssertionError(f"unknown event {type(event).__name__}")


def decide(command: Create | Rename | Delete, state: WorkspaceState, now: datetime) -> Sequence[WorkspaceEvent]:
    """New facts for a command."""
    if isinstance(command, Create):
        if state.exists and not state.deleted:
            if command.command_id and command.command_id == state.command_id and command.digest == state.digest:
                return ()
            raise Conflict("workspace_exists", "A workspace with this id exists already; choose another id, or use it.")
        return (
            Created(title=command.title, labels=command.labels, command_id=command.command_id, digest=command.digest),
        )
    if not state.exists or state.deleted:
        raise NotFound("workspace_not_found", "There is no such workspace.")
    if isinstance(command, Rename):
        return () if command.title == state.title else (Renamed(title=command.title),)
    return (Deleted(),)

"""Datasets and models: named things with immutable versions of content-addressed files; one state machine for both."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, ClassVar

import msgspec
from msgspec.structs import replace

from trialbook.errors import Conflict, NotFound


class Content(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One file of a version; size in bytes."""

    sha256: str
    size: int
    media_type: str = "application/octet-stream"


class Version(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One immutable version: file name -> content."""

    number: int
    files: dict[str, Content]
    metadata: dict[str, Any] = {}
    created_at: str = ""
    run: str = ""
    """The run that produced it, if one did."""


class VersionedEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of dataset and model facts."""

    TYPE: ClassVar[str]


class State(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of a dataset or model."""

    exists: bool = False
    deleted: bool = False
    name: str = ""
    description: str = ""
    kind: str = ""
    labels: dict[str, str] = {}
    versions: tuple[Version, ...] = ()
    created_at: str = ""
    command_id: str = ""
    digest: str = ""


class Create(msgspec.Struct, frozen=True, kw_only=True):
    """Register it, without versions. ``kind`` says in the owner's words what its files are."""

    name: str
    description: str = ""
    kind: str = ""
    labels: dict[str, str] = {}
    command_id: str = ""
    digest: str = ""


class AddVersion(msgspec.Struct, frozen=True, kw_only=True):
    """Add the next version."""

    files: dict[str, Content]
    metadata: dict[str, Any] = {}
    run: str = ""


class Delete(msgspec.Struct, frozen=True, kw_only=True):
    """Remove it from the lists."""


Command = Create | AddVersion | Delete


class Created(VersionedEvent, frozen=True, kw_only=True):
    """Fields of ``dataset.created`` and ``model.created``."""

    TYPE = ""
    name: str
    description: str = ""
    kind: str = ""
    labels: dict[str, str] = {}
    command_id: str = ""
    digest: str = ""


class VersionAdded(VersionedEvent, frozen=True, kw_only=True):
    """Fields of ``dataset.version_added`` and ``model.version_added``."""

    TYPE = ""
    number: int
    files: dict[str, Content]
    metadata: dict[str, Any] = {}
    run: str = ""


class Deleted(VersionedEvent, frozen=True, kw_only=True):
    """``dataset.deleted`` and ``model.deleted``."""

    TYPE = ""


def initial() -> State:
    """Something that was never created."""
    return State()


def evolve(state: State, event: VersionedEvent, at: str) -> State:
    """Fold one fact."""
    match event:
        case Created():
            return State(
                exists=True, name=event.name, description=event.description, kind=event.kind, labels=event.labels,
                created_at=at, command_id=event.command_id, digest=event.digest,
            )  # fmt: skip
        case VersionAdded():
            version = Version(
                number=event.number, files=event.files, metadata=event.metadata, created_at=at, run=event.run
            )
            return replace(state, versions=(*state.versions, version))
        case Deleted():
            return replace(state, deleted=True)
    raise AssertionError(f"unknown event {type(event).__name__}")


def _same(version: Version, command: AddVersion) -> bool:
    return (version.files, version.metadata, version.run) == (command.files, command.metadata, command.run)


class Kind(msgspec.Struct, frozen=True):
    """One kind of versioned thing: its word and its event classes."""

    word: str
    created: type[Created]
    version_added: type[VersionAdded]
    deleted: type[Deleted]

    def decide(self, command: Command, state: State, now: datetime) -> Sequence[VersionedEvent]:
        """New facts for a command."""
        if isinstance(command, Create):
            if state.exists:
                if command.command_id and command.command_id == state.command_id and command.digest == state.digest:
                    return ()
                raise Conflict(f"{self.word}_exists", f"This {self.word} exists already.")
            return (
                self.created(
                    name=command.name, description=command.description, kind=command.kind, labels=command.labels,
                    command_id=command.command_id, digest=command.digest,
                ),
            )  # fmt: skip
        if not state.exists or state.deleted:
            raise NotFound(f"{self.word}_not_found", f"There is no such {self.word}.")
        if isinstance(command, Delete):
            return (self.deleted(),)
        if state.versions and _same(state.versions[-1], command):
            return ()
        number = len(state.versions) + 1
        return (self.version_added(number=number, files=command.files, metadata=command.metadata, run=command.run),)

"""The file aggregate: uploaded bytes under a name, content-addressed by sha256."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar

import msgspec
from msgspec.structs import replace

from trialbook.errors import Conflict, NotFound


class FileEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of file facts."""

    TYPE: ClassVar[str]


class Uploaded(FileEvent, frozen=True, kw_only=True):
    """Bytes were stored; ``size`` in bytes."""

    TYPE = "file.uploaded.v1"
    name: str
    sha256: str
    size: int
    media_type: str = "application/octet-stream"
    labels: dict[str, str] = {}
    command_id: str = ""


class Deleted(FileEvent, frozen=True, kw_only=True):
    """The file is no longer listed."""

    TYPE = "file.deleted.v1"


EVENTS: tuple[type[FileEvent], ...] = (Uploaded, Deleted)


class FileState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of a file."""

    exists: bool = False
    deleted: bool = False
    name: str = ""
    sha256: str = ""
    size: int = 0
    media_type: str = ""
    labels: dict[str, str] = {}
    created_at: str = ""
    command_id: str = ""


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    """Record stored bytes."""

    name: str
    sha256: str
    size: int
    media_type: str = "application/octet-stream"
    labels: dict[str, str] = {}
    command_id: str = ""


class Delete(msgspec.Struct, frozen=True, kw_only=True):
    """Remove it from the lists."""


def initial() -> FileState:
    """A file that was never uploaded."""
    return FileState()


def evolve(state: FileState, event: FileEvent, at: str) -> FileState:
    """Fold one fact."""
    if isinstance(event, Uploaded):
        return FileState(
            exists=True, name=event.name, sha256=event.sha256, size=event.size, media_type=event.media_type,
            labels=event.labels, created_at=at, command_id=event.command_id,
        )  # fmt: skip
    return replace(state, deleted=True)


def decide(command: Upload | Delete, state: FileState, now: datetime) -> Sequence[FileEvent]:
    """New facts for a command."""
    if isinstance(command, Upload):
        if state.exists:
            if command.command_id and command.command_id == state.command_id and command.sha256 == state.sha256:
                return ()
            raise Conflict(
                "idempotency_key_reused", "This Idempotency-Key was used before for another file; use a new key."
            )
        return (
            Uploaded(
                name=command.name, sha256=command.sha256, size=command.size, media_type=command.media_type,
                labels=command.labels, command_id=command.command_id,
            ),
        )  # fmt: skip
    if not state.exists or state.deleted:
        raise NotFound("file_not_found", "There is no such file.")
    return (Deleted(),)

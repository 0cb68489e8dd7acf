"""Shapes of replies that only the client needs; the others are in ``trialbook.views`` and ``trialbook.queries``."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import msgspec

from trialbook.envelope import Event

T = TypeVar("T")


class Results(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """One page of a list. ``next_cursor`` asks for the next one, None at the end; ``total`` only when it was asked."""

    items: list[T]
    next_cursor: str | int | None = None
    total: int | None = None


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """A fact with its place in the ledger; ``event`` is the CloudEvent, its ``data`` raw JSON."""

    sequence: int
    event: Event

    @property
    def data(self) -> dict[str, Any]:
        """The fact's own members."""
        members: dict[str, Any] = msgspec.json.decode(self.event.data)
        return members


class ArtifactView(msgspec.Struct, frozen=True, kw_only=True):
    """A file that a run stored: size in bytes, ``created_at`` RFC 3339."""

    name: str
    sha256: str
    size: int
    media_type: str
    attempt: int
    created_at: str


class WorkspaceView(msgspec.Struct, frozen=True, kw_only=True):
    """A workspace; ``created_at`` RFC 3339."""

    id: str
    title: str
    labels: dict[str, str]
    created_at: str


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """One run's side of a comparison of a metric; ``points`` are ``{cursor, index, time, value}``, evenly chosen."""

    run: str
    last: float | None
    min: float | None
    max: float | None
    count: int
    points: list[dict[str, Any]]

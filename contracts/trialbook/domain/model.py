"""The model aggregate."""

from __future__ import annotations

from trialbook.domain import versioned


class Created(versioned.Created, frozen=True, kw_only=True):
    """The model exists."""

    TYPE = "model.created.v1"


class VersionAdded(versioned.VersionAdded, frozen=True, kw_only=True):
    """The model has one more version."""

    TYPE = "model.version_added.v1"


class Deleted(versioned.Deleted, frozen=True, kw_only=True):
    """The model is no longer listed."""

    TYPE = "model.deleted.v1"


EVENTS: tuple[type[versioned.VersionedEvent], ...] = (Created, VersionAdded, Deleted)
KIND = versioned.Kind("model", Created, VersionAdded, Deleted)

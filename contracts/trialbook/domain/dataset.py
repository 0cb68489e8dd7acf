"""The dataset aggregate."""

from __future__ import annotations

from trialbook.domain import versioned


class Created(versioned.Created, frozen=True, kw_only=True):
    """The dataset exists."""

    TYPE = "dataset.created.v1"


class VersionAdded(versioned.VersionAdded, frozen=True, kw_only=True):
    """The dataset has one more version."""

    TYPE = "dataset.version_added.v1"


class Deleted(versioned.Deleted, frozen=True, kw_only=True):
    """The dataset is no longer listed."""

    TYPE = "dataset.deleted.v1"


EVENTS: tuple[type[versioned.VersionedEvent], ...] = (Created, VersionAdded, Deleted)
KIND = versioned.Kind("dataset", Created, VersionAdded, Deleted)

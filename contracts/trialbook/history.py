"""Answers of the questions that look back: differences between two moments, and the story of one thing."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from trialbook.envelope import Event

Verb = Literal["added", "removed", "changed"]
Change = Literal["created", "changed", "deleted", "created_and_deleted"]


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """A place in the ledger; ``time`` (RFC 3339) is the one asked for, or that of its last fact; null before it."""

    sequence: int
    time: str | None


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """The fact behind a change: its place, type, actor and time."""

    sequence: int
    type: str
    actor: str
    time: str
    correlation: str = ""


class MemberChange(msgspec.Struct, frozen=True, kw_only=True):
    """One member that differs; ``pointer`` is its JSON pointer, ``old`` and ``new`` null where there was none.

    ``cause`` is the last fact that changed it.
    """

    pointer: str
    change: Verb
    old: Any
    new: Any
    cause: Cause | None


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """How one thing differs between two moments, and the facts in between. ``existed``: at either of them."""

    kind: str
    id: str
    since: Moment
    until: Moment
    existed: tuple[bool, bool]
    changes: list[MemberChange]
    facts: list[Cause]


class ThingChange(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was created, changed or deleted. ``status``: of a run, before and after."""

    kind: str
    id: str
    name: str
    change: Change
    facts: int
    first: Cause
    last: Cause
    status: tuple[str | None, str | None] | None = None


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """A page of what changed between two moments, in the order of first facts."""

    since: Moment
    until: Moment
    items: list[ThingChange]
    next_cursor: str | None = None


class Related(msgspec.Struct, frozen=True, kw_only=True):
    """Something that belongs to the story; ``through`` names the input, artifact or file that connects the two.

    ``role``: parent, child, replay_of, replay; producer (of bytes that went in), consumer (of bytes that came out);
    holds_input, holds_output (the same bytes under a name); made (a version by this run); touched (by this request).
    """

    role: str
    kind: str
    id: str
    name: str = ""
    status: str = ""
    through: str = ""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """A fact with its place."""

    sequence: int
    event: Event


class Trail(msgspec.Struct, frozen=True, kw_only=True):
    """What was found: ``subject`` is what the id means (run, dataset, ..., request or fact); ``started_at`` is the time
    of its first fact.
    """

    subject: str
    id: str
    name: str
    workspace: str
    started_at: str | None
    facts: list[Told]
    related: list[Related]
    next_cursor: str | None = None

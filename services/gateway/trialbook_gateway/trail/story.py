"""The story as it is handed out: each fact with who, what, when, why and where."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec

from trialbook.history import Related, Told, Trail
from trialbook.times import parse_time
from trialbook_gateway.trail.telling import sentence

PROOF = "/v1/ledger/proofs/inclusion"
MILLISECOND = timedelta(milliseconds=1)


class Where(msgspec.Struct, frozen=True, kw_only=True):
    """Where it happened: null for what is not said."""

    runner: str | None = None
    attempt: int | None = None
    sandbox: str | None = None


class Chapter(msgspec.Struct, frozen=True, kw_only=True):
    """One fact told: ``after_ms`` is the time since the first one, ``why`` the request and the fact before it.

    ``sequence`` is its place in the ledger; ``proof`` is where the proof is that it stands there.
    """

    sequence: int
    time: str
    after_ms: int
    who: str
    what: str
    type: str
    subject: str
    id: str
    correlation: str
    causation: str
    where: Where
    proof: str
    sealed: bool = False


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """A page of the story of ``subject`` (run, file, ..., request or fact)."""

    subject: str
    id: str
    name: str
    workspace: str
    started_at: str | None
    chapters: list[Chapter]
    related: list[Related]
    next_cursor: str | None = None


def story_of(trail: Trail) -> Story:
    """Facts told; what each fact does not say itself about its place is that of the attempt that was under way."""
    where = Where()
    chapters = []
    for told in trail.facts:
        data = msgspec.json.decode(told.event.data)
        where = _where(told, data if isinstance(data, dict) else {}, where)
        chapters.append(_chapter(told, data, where, trail.started_at))
    return Story(
        subject=trail.subject, id=trail.id, name=trail.name, workspace=trail.workspace, started_at=trail.started_at,
        chapters=chapters, related=trail.related, next_cursor=trail.next_cursor,
    )  # fmt: skip


def _chapter(told: Told, data: Any, where: Where, started_at: str | None) -> Chapter:
    event = told.event
    since = parse_time(event.time) - parse_time(started_at or event.time)
    return Chapter(
        sequence=told.sequence, time=event.time, after_ms=since // MILLISECOND, who=event.actor or "unknown",
        what=sentence(event.type, data), type=event.type, subject=event.subject, id=event.id,
        correlation=event.correlationid, causation=event.causationid, where=where,
        proof=f"{PROOF}?sequence={told.sequence}", sealed=bool(event.datakey),
    )  # fmt: skip


def _where(told: Told, data: dict[str, Any], before: Where) -> Where:
    """Who has said nothing about the place is where the attempt is, unless it is not a runner who speaks."""
    runner = data.get("runner") or (told.event.actor.removeprefix("runner:") if _by_runner(told) else None)
    if runner is None:
        return Where()
    attempt = data.get("attempt", before.attempt)
    same = attempt == before.attempt
    return Where(
        runner=str(runner), attempt=attempt if isinstance(attempt, int) else None,
        sandbox=data.get("sandbox") or (before.sandbox if same else None),
    )  # fmt: skip


def _by_runner(told: Told) -> bool:
    return told.event.actor.startswith("runner:")

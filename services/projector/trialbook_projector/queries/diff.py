"""Differences between two moments: of one run or item, member by member, and of a whole workspace."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from trialbook.aggregates import AGGREGATES
from trialbook.codec import fact_of
from trialbook.envelope import Event
from trialbook.errors import Invalid, NotFound, TooLarge
from trialbook.history import Cause, Change, Changes, Difference, MemberChange, ThingChange
from trialbook.history import Moment as MomentView
from trialbook.queries import DiffOne, DiffWorkspace
from trialbook.views import run_view
from trialbook_projector.queries import facts, items, past
from trialbook_projector.queries.jsondiff import differences
from trialbook_projector.queries.reading import (
    EVERYWHERE,
    Moment,
    Reading,
    pack_cursor,
    page_limit,
    placeholders,
    unpack_cursor,
)
from trialbook_projector.tables import find
from trialbook_projector.tables.cache import RunEntry
from trialbook_projector.tables.facts import UNSEEN
from trialbook_projector.times import text_of

KINDS = ("run", "workspace", "file", "dataset", "model")
MAX_FACTS = 5000
VOLATILE = ("sequence", "progress")
"""Members of a run's view that are no part of what was decided."""
ORDER = "diff"


def moments(reading: Reading, since: str, until: str) -> tuple[Moment, Moment]:
    """The two moments. Raises ``Invalid`` (code ``invalid_range``) when the second lies before the first."""
    first = past.moment_of(reading, since)
    second = past.moment_of(reading, until or str(reading.positions.facts))
    if second.sequence < first.sequence:
        raise Invalid(
            "invalid_range", f"`to` (sequence {second.sequence}) lies before `from` (sequence {first.sequence})."
        )
    return first, second


def one(reading: Reading, query: DiffOne) -> Difference:
    """``diff.one``. A thing that was not there at a moment is compared as one without members."""
    since, until = moments(reading, query.since, query.until)
    history = _history(reading, query, until.sequence)
    decider = AGGREGATES[query.kind].decider
    before = [(fact_of(e), e.time) for s, e in history if s <= since.sequence and e.type not in UNSEEN]
    state = decider.fold(before)
    old = view = _members(reading, query, state) if before else {}
    existed = bool(before) and not state.deleted
    causes: dict[str, Cause] = {}
    between = [(sequence, event) for sequence, event in history if sequence > since.sequence]
    for sequence, event in between:
        if event.type in UNSEEN:
            continue
        state = decider.fold([(fact_of(event), event.time)], state)
        after = _members(reading, query, state)
        cause = cause_of(sequence, event)
        causes.update((member.pointer, cause) for member in differences(view, after))
        view = after
    exists = bool(history) and not state.deleted
    return Difference(
        kind=query.kind, id=query.id, since=_told(since), until=_told(until), existed=(existed, exists),
        changes=[
            MemberChange(**msgspec.structs.asdict(member), cause=_responsible(causes, member.pointer))
            for member in differences(old, view)
        ],
        facts=[cause_of(sequence, event) for sequence, event in between],
    )  # fmt: skip


def _history(reading: Reading, query: DiffOne, up_to: int) -> list[tuple[int, Event]]:
    """Everything about the thing until the second moment. Raises ``NotFound`` when there is nothing."""
    conditions, params = ["kind = ?", "aggregate = ?", "sequence <= ?"], [query.kind, query.id, up_to]
    reading.scope(conditions, params)
    sql = (
        f"SELECT {facts.COLUMNS} FROM book.facts WHERE {' AND '.join(conditions)} "  # noqa: S608 -- constants
        f"ORDER BY sequence LIMIT {MAX_FACTS + 1}"
    )
    rows = reading.rows(sql, params)
    if not rows:
        raise NotFound(f"{query.kind}_not_found", f"There was no such {query.kind} until sequence {up_to}.")
    if len(rows) > MAX_FACTS:
        raise TooLarge(
            "diff_too_large", f"More than {MAX_FACTS} facts are about this {query.kind}; read them by GET /v1/events."
        )
    events = past.opened(reading, [facts.event_of(row) for row in rows])
    return [(row[0], event) for row, event in zip(rows, events, strict=True)]


def _members(reading: Reading, query: DiffOne, state: Any) -> dict[str, Any]:
    if query.kind == "run":
        members = msgspec.to_builtins(run_view(reading.workspace, query.id, state, 0))
        return {name: value for name, value in members.items() if name not in VOLATILE}
    found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(state))
    return found


def _responsible(causes: dict[str, Cause], pointer: str) -> Cause | None:
    """The last fact that changed the member, a part of it, or what it is a part of."""
    found = [
        cause for where, cause in causes.items()
        if where == pointer or where.startswith(f"{pointer}/") or pointer.startswith(f"{where}/")
    ]  # fmt: skip
    return max(found, key=lambda cause: cause.sequence, default=None)


def cause_of(sequence: int, event: Event) -> Cause:
    """A fact in short."""
    return Cause(
        sequence=sequence, type=event.type, actor=event.actor, time=event.time, correlation=event.correlationid
    )


def _told(moment: Moment) -> MomentView:
    return MomentView(sequence=moment.sequence, time=text_of(moment.time_us) if moment.time_us else None)


CHANGED = """
SELECT kind, aggregate, min(sequence) AS first, max(sequence) AS last, count(*)
FROM book.facts WHERE workspace = ? AND sequence > ? AND sequence <= ? AND kind IN ({kinds})
GROUP BY kind, aggregate HAVING min(sequence) > ? ORDER BY first LIMIT ?
"""


def workspace(reading: Reading, query: DiffWorkspace) -> Changes:
    """``diff.workspace``."""
    limit, kinds = page_limit(query.limit), query.kinds or list(KINDS)
    if unknown := set(kinds) - set(KINDS):
        raise Invalid("invalid_query", f"{min(unknown)[:40]!r} is no kind; there are {', '.join(KINDS)}.")
    if reading.workspace == EVERYWHERE:
        raise Invalid("invalid_query", "A workspace is compared with itself; ask in one.")
    since, until = moments(reading, query.since, query.until)
    cursor = unpack_cursor(ORDER, query.cursor) if query.cursor else 0
    sql = CHANGED.format(kinds=placeholders(kinds))
    rows = reading.rows(sql, [reading.workspace, since.sequence, until.sequence, *kinds, cursor, limit + 1])
    more, rows = len(rows) > limit, rows[:limit]
    return Changes(
        since=_told(since), until=_told(until), items=_things(reading, rows, since, until),
        next_cursor=pack_cursor(ORDER, rows[-1][2]) if more else None,
    )  # fmt: skip


def _things(reading: Reading, rows: Sequence[Any], since: Moment, until: Moment) -> list[ThingChange]:
    ends = _causes(reading, [sequence for row in rows for sequence in row[2:4]])
    runs = {entry.id: entry for entry in _runs(reading, [row[1] for row in rows if row[0] == "run"])}
    known = find.items(reading.cursor, [f"{reading.workspace}/{row[0]}/{row[1]}" for row in rows if row[0] != "run"])
    others = {(entry.kind, entry.id): entry for entry in known}
    before, after = _statuses(reading, runs, since), _statuses(reading, runs, until)
    found = []
    for kind, id_, first, last, count in rows:
        run, item = runs.get(id_) if kind == "run" else None, others.get((kind, id_))
        entry = run or item
        name = "" if entry is None else (run.state.order.name or run.state.order.title) if run else items.name_of(entry)  # type: ignore[arg-type]
        found.append(
            ThingChange(
                kind=kind,
                id=id_,
                name=name,
                facts=count,
                first=ends[first],
                last=ends[last],
                change=_change(entry is not None and entry.created == first, ends[last].type),
                status=(before.get(id_), after.get(id_)) if kind == "run" else None,
            )
        )
    return found


def _change(created: bool, last_type: str) -> Change:
    deleted = ".deleted.v" in last_type
    if created:
        return "created_and_deleted" if deleted else "created"
    return "deleted" if deleted else "changed"


def _causes(reading: Reading, sequences: list[int]) -> dict[int, Cause]:
    sql = f"SELECT {facts.COLUMNS} FROM book.facts WHERE sequence IN (SELECT unnest(?::BIGINT[]))"  # noqa: S608 -- constants
    return {row[0]: cause_of(row[0], facts.event_of(row)) for row in reading.rows(sql, [sequences])}


def _runs(reading: Reading, ids: list[str]) -> list[RunEntry]:
    return find.runs(reading.cursor, [f"{reading.workspace}/run/{id_}" for id_ in ids]) if ids else []


def _statuses(reading: Reading, runs: dict[str, RunEntry], moment: Moment) -> dict[str, str]:
    """Run -> status at a moment; runs that were not there are left out."""
    reading.past = moment
    there = [entry for entry in runs.values() if entry.created <= moment.sequence]
    changed = past.runs_at(reading, [entry for entry in there if entry.sequence > moment.sequence])
    same = [entry for entry in there if entry.sequence <= moment.sequence]
    reading.past = None
    return {entry.id: "deleted" if entry.state.deleted else entry.state.status for entry in [*same, *changed]}

"""The story of one thing or one request: its facts in order, and what it is connected with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from trialbook.errors import NotFound
from trialbook.history import Related, Told, Trail
from trialbook.queries import AuditTrail
from trialbook_projector.queries import facts, items, past
from trialbook_projector.queries.reading import Reading, page_limit, small
from trialbook_projector.tables import find
from trialbook_projector.tables.cache import ItemEntry, RunEntry
from trialbook_projector.times import text_or_none

MAX_RELATED = 200
MAX_DIGESTS = 64
"""Inputs and outputs that are followed; a run with more is told without the rest of them."""
KINDS = "SELECT DISTINCT kind, workspace FROM book.facts WHERE aggregate = ? AND {scope} ORDER BY kind LIMIT 2"
NAMED = """
SELECT kind, id FROM (
    SELECT 'run' AS kind, id, name, created, workspace FROM book.runs
    UNION ALL SELECT kind, id, name, created, workspace FROM book.items)
WHERE name = ? AND {scope} ORDER BY created DESC LIMIT 1
"""
TOUCHED = """
SELECT kind, aggregate FROM book.facts WHERE correlation = ? AND {scope}
GROUP BY kind, aggregate ORDER BY min(sequence) LIMIT ?
"""


def trail(reading: Reading, query: AuditTrail) -> Trail:
    """``audit.trail``. Raises ``NotFound`` (code ``trail_not_found``) when nothing bears the id or name."""
    kind, id_ = _subject(reading, query.id)
    limit = page_limit(query.limit)
    conditions, params = _about(kind, id_)
    reading.scope(conditions, params)
    first = f"SELECT epoch_us(min_by(time, sequence)) FROM book.facts WHERE {' AND '.join(conditions)}"  # noqa: S608 -- constants
    started_us = reading.rows(first, params)[0][0]
    conditions += ["sequence > ?", "sequence <= ?"]
    params += [small(query.after, "after"), facts.end_of(reading, 0)]
    sql = (
        f"SELECT {facts.COLUMNS} FROM book.facts WHERE {' AND '.join(conditions)} "  # noqa: S608 -- constants
        f"ORDER BY sequence LIMIT {limit + 1}"
    )
    rows = reading.rows(sql, params)
    more, rows = len(rows) > limit, rows[:limit]
    events = past.opened(reading, [facts.event_of(row) for row in rows])
    name, related = _related(reading, kind, id_)
    return Trail(
        subject=kind, id=id_, name=name, workspace=reading.workspace, started_at=text_or_none(started_us),
        facts=[Told(sequence=row[0], event=event) for row, event in zip(rows, events, strict=True)],
        related=related[:MAX_RELATED], next_cursor=str(rows[-1][0]) if more else None,
    )  # fmt: skip


def _about(kind: str, id_: str) -> tuple[list[str], list[Any]]:
    if kind == "request":
        return ["correlation = ?"], [id_]
    if kind == "fact":
        return ["(id = ? OR causation = ?)"], [id_, id_]
    return ["kind = ?", "aggregate = ?"], [kind, id_]


def _scoped(reading: Reading, sql: str, params: list[Any]) -> list[Any]:
    conditions: list[str] = []
    scope: list[Any] = []
    reading.scope(conditions, scope)
    place = sql[: sql.index("{scope}")].count("?")
    return reading.rows(
        sql.format(scope=" AND ".join(conditions) or "true"), [*params[:place], *scope, *params[place:]]
    )


def _subject(reading: Reading, text: str) -> tuple[str, str]:
    """What kind of thing is meant, and its id."""
    plain = text.replace("-", "").lower() if len(text) == 36 else text
    for id_ in dict.fromkeys((plain, text)):
        if found := _scoped(reading, KINDS, [id_]):
            return found[0][0], id_
    if found := _scoped(reading, NAMED, [text]):
        return found[0][0], found[0][1]
    if _scoped(reading, TOUCHED, [text, 1]):
        return "request", text
    if _scoped(reading, "SELECT 1 FROM book.facts WHERE id = ? AND {scope} LIMIT 1", [plain]):
        return "fact", plain
    raise NotFound(
        "trail_not_found",
        f"Nothing in this workspace has the id or name {text[:80]!r}: no run, file, dataset, model, workspace, request "
        "or fact.",
    )


def _related(reading: Reading, kind: str, id_: str) -> tuple[str, list[Related]]:
    """The thing's name, and what it is connected with."""
    if kind == "request":
        touched = _scoped(reading, TOUCHED, [id_, MAX_RELATED])
        return "", [Related(role="touched", kind=row[0], id=row[1]) for row in touched]
    key = f"{reading.workspace}/{kind}/{id_}"
    if kind == "run":
        runs = find.runs(reading.cursor, [key])
        return (runs[0].state.order.name or "", _of_run(reading, runs[0])) if runs else ("", [])
    entries = find.items(reading.cursor, [key])
    if not entries:
        return "", []
    entry = entries[0]
    digests = {digest: name for name, digest in _contents(entry)}
    related = [Related(role="producer", kind="run", id=run) for run in _makers(entry)]
    return items.name_of(entry), [*related, *_connected(reading, id_, digests, digests)]


def _of_run(reading: Reading, entry: RunEntry) -> list[Related]:
    order, state = entry.state.order, entry.state
    family = [(role, id_) for role, id_ in (("parent", order.parent), ("replay_of", order.replay_of)) if id_]
    found = [_run(role, other) for role, id_ in family for other in _runs(reading, "id = ?", [id_])]
    found += [_run("child", other) for other in _runs(reading, "parent = ?", [entry.id])]
    replays = _runs(reading, "json_extract_string(state, '$.spec.replay_of') = ?", [entry.id])
    found += [_run("replay", other) for other in replays]
    inputs = {digest: name for name, digest in order.inputs.items()}
    outputs = {artifact.sha256: name for name, artifact in state.artifacts.items()}
    if state.result_blob:
        outputs[state.result_blob] = "result"
    return [*found, *_connected(reading, entry.id, inputs, outputs)]


def _runs(reading: Reading, condition: str, params: list[Any]) -> list[RunEntry]:
    sql = f"SELECT {find.RUN_COLUMNS} FROM book.runs WHERE {condition} AND {{scope}} ORDER BY created LIMIT ?"  # noqa: S608 -- constants
    return [find.run_entry(row) for row in _scoped(reading, sql, [*params, MAX_RELATED])]


def _run(role: str, entry: RunEntry, through: str = "") -> Related:
    order = entry.state.order
    return Related(
        role=role, kind="run", id=entry.id, name=order.name or order.title, status=entry.state.status, through=through
    )


def _connected(reading: Reading, own: str, inputs: dict[str, str], outputs: dict[str, str]) -> list[Related]:
    """Who made the bytes that went in, and who used those that came out; digest -> name."""
    digests = list(dict.fromkeys([*inputs, *outputs]))[:MAX_DIGESTS]
    found: list[Related] = []
    if digests:
        for run in _runs(reading, f"({_any('state', digests)})", digests):
            if run.id == own:
                continue
            made = {artifact.sha256 for artifact in run.state.artifacts.values()} | {run.state.result_blob or ""}
            found += [_run("producer", run, inputs[d]) for d in digests if d in made and d in inputs]
            used = set(run.state.order.inputs.values())
            found += [_run("consumer", run, outputs[d]) for d in digests if d in used and d in outputs]
    sql = (
        f"SELECT {find.ITEM_COLUMNS} FROM book.items WHERE ({_any('data', [*digests, own])}) AND {{scope}} "  # noqa: S608 -- constants
        "ORDER BY created LIMIT ?"
    )
    for row in _scoped(reading, sql, [*digests, own, MAX_RELATED]):
        entry = find.item_entry(row)
        if entry.id != own:
            found += _of_item(entry, own, inputs, outputs)
    return found


def _of_item(entry: ItemEntry, own: str, inputs: dict[str, str], outputs: dict[str, str]) -> Iterable[Related]:
    held = {digest for _, digest in _contents(entry)}
    own_name = items.name_of(entry)
    for digest in held & inputs.keys():
        yield Related(role="holds_input", kind=entry.kind, id=entry.id, name=own_name, through=inputs[digest])
    for digest in (held & outputs.keys()) - inputs.keys():
        yield Related(role="holds_output", kind=entry.kind, id=entry.id, name=own_name, through=outputs[digest])
    if own in _makers(entry):
        yield Related(role="made", kind=entry.kind, id=entry.id, name=own_name)


def _any(column: str, texts: Sequence[str]) -> str:
    return " OR ".join([f"contains({column}, ?)"] * len(texts))


def _contents(entry: ItemEntry) -> list[tuple[str, str]]:
    """Name and digest of the bytes that an item holds."""
    if entry.kind == "file":
        return [(entry.state.name, entry.state.sha256)]
    versions = getattr(entry.state, "versions", ())
    return [(name, content.sha256) for version in versions for name, content in version.files.items()]


def _makers(entry: ItemEntry) -> list[str]:
    """The runs that produced an item's versions."""
    return list(dict.fromkeys(v.run for v in getattr(entry.state, "versions", ()) if v.run))

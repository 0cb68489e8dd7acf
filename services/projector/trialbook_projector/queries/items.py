"""Workspaces, files, datasets and models."""

from __future__ import annotations

from typing import Any

import msgspec

from trialbook.errors import Invalid, NotFound
from trialbook.queries import ItemGet, ItemList, ItemView, Page
from trialbook_projector.queries import past
from trialbook_projector.queries.reading import Reading, pack_cursor, page_limit, unpack_cursor
from trialbook_projector.tables import find
from trialbook_projector.tables.cache import ItemEntry

ALIVE = "NOT deleted"
COLUMNS = "created, kind, id, workspace, sequence, data"


def get(reading: Reading, query: ItemGet) -> ItemView:
    """``item.get``; of several that bear a name (files) the newest."""
    conditions: list[str] = ["kind = ?", ALIVE]
    params: list[Any] = [query.kind]
    reading.scope(conditions, params)
    if reading.past is not None:
        return _get_then(reading, query, conditions, params)
    if query.id:
        conditions.append("id = ?")
        params.append(query.id)
    elif query.name:
        conditions.append("name = ?")
        params.append(query.name)
    else:
        raise Invalid("invalid_query", "item.get needs an id or a name.")
    sql = f"SELECT {COLUMNS} FROM book.items WHERE {' AND '.join(conditions)} ORDER BY created DESC LIMIT 1"  # noqa: S608 -- constants
    found = reading.rows(sql, params)
    if not found:
        raise _not_found(query)
    return _view(found[0])


def _not_found(query: ItemGet) -> NotFound:
    what = (query.id or query.name)[:80]
    return NotFound(f"{query.kind}_not_found", f"There is no {query.kind} {what!r} in this workspace.")


def _get_then(reading: Reading, query: ItemGet, conditions: list[str], params: list[Any]) -> ItemView:
    """The same at the reading's moment; a name is compared with the one borne then."""
    if not query.id and not query.name:
        raise Invalid("invalid_query", "item.get needs an id or a name.")
    if query.id:
        conditions, params = [*conditions, "id = ?"], [*params, query.id]
    elif query.kind != "workspace":  # others keep their names
        conditions, params = [*conditions, "name = ?"], [*params, query.name]
    found = [e for e in _then(reading, query.kind, conditions, params) if query.id or name_of(e) == query.name]
    if not found:
        raise _not_found(query)
    return view(max(found, key=lambda entry: entry.created))


def _then(
    reading: Reading, kind: str, conditions: list[str], params: list[Any], limit: int = past.MAX_FOLDED_THINGS
) -> list[ItemEntry]:
    """Items that match at the reading's moment but for their name: the first ``limit`` that have not changed since, and
    all that have, which are few enough to be folded, or refused.
    """
    assert reading.past is not None
    at = reading.past.sequence
    same = (
        f"SELECT {find.ITEM_COLUMNS} FROM book.items WHERE {' AND '.join(conditions)} AND sequence <= ? "  # noqa: S608 -- constants
        "ORDER BY created LIMIT ?"
    )
    entries = [find.item_entry(row) for row in reading.rows(same, [*params, at, limit])]
    since = changed(reading, kind, [condition for condition in conditions if condition != ALIVE], params)
    return [*entries, *(entry for entry in since if not entry.state.deleted)]


def changed(reading: Reading, kind: str, conditions: list[str], params: list[Any]) -> list[ItemEntry]:
    """Items of one kind that match, were there at the reading's moment and have changed since, as they were then."""
    assert reading.past is not None
    at = reading.past.sequence
    sql = (
        f"SELECT {find.ITEM_COLUMNS} FROM book.items WHERE {' AND '.join(conditions)} AND kind = ? AND created <= ? "  # noqa: S608 -- constants
        f"AND sequence > ? LIMIT {past.MAX_FOLDED_THINGS + 1}"
    )
    rows = reading.rows(sql, [*params, kind, at, at])
    return past.items_at(reading, kind, [find.item_entry(row) for row in rows])


def name_of(entry: ItemEntry) -> str:
    """An item's name; a workspace's is its title."""
    name: str = entry.state.title if entry.kind == "workspace" else entry.state.name
    return name


def view(entry: ItemEntry) -> ItemView:
    """An item as readers see it."""
    data = msgspec.json.decode(msgspec.json.encode(entry.state))
    return ItemView(kind=entry.kind, id=entry.id, workspace=entry.workspace, sequence=entry.sequence, data=data)


def listing(reading: Reading, query: ItemList) -> Page:
    """``item.list``."""
    limit = page_limit(query.limit)
    conditions: list[str] = ["kind = ?", ALIVE]
    params: list[Any] = [query.kind]
    reading.scope(conditions, params)
    if reading.past is not None:
        return _listing_then(reading, query, conditions, params)
    if query.search:
        conditions.append("(contains(lower(name), ?) OR contains(lower(id), ?))")
        params.extend([query.search.lower()] * 2)
    if query.cursor:
        conditions.append("created > ?")
        params.append(unpack_cursor(query.kind, query.cursor))
    sql = (
        f"SELECT {COLUMNS} FROM book.items WHERE {' AND '.join(conditions)} "  # noqa: S608 -- constants
        f"ORDER BY created LIMIT {limit + 1}"
    )
    found = reading.rows(sql, params)
    more, found = len(found) > limit, found[:limit]
    return Page(
        items=[_view(row) for row in found],
        next_cursor=pack_cursor(query.kind, found[-1][0]) if more else None,
    )


def _listing_then(reading: Reading, query: ItemList, conditions: list[str], params: list[Any]) -> Page:
    place = unpack_cursor(query.kind, query.cursor) if query.cursor else 0
    if query.search and query.kind != "workspace":
        conditions = [*conditions, "(contains(lower(name), ?) OR contains(lower(id), ?))"]
        params = [*params, query.search.lower(), query.search.lower()]
    search = query.search.lower()
    limit = past.MAX_FOLDED_THINGS if query.kind == "workspace" else query.limit + 1
    entries = _then(reading, query.kind, [*conditions, "created > ?"], [*params, place], limit)
    found = [e for e in entries if search in name_of(e).lower() or search in e.id.lower()]
    found.sort(key=lambda entry: entry.created)
    more, found = len(found) > query.limit, found[: query.limit]
    cursor = pack_cursor(query.kind, found[-1].created) if more else None
    return Page(items=[view(entry) for entry in found], next_cursor=cursor)


def _view(row: Any) -> ItemView:
    _, kind, id_, workspace, sequence, data = row
    return ItemView(kind=kind, id=id_, workspace=workspace, sequence=sequence, data=msgspec.json.decode(data))

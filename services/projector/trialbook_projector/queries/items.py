"""Workspaces, files, datasets and models."""

from __future__ import annotations

from typing import Any

import msgspec

from trialbook.errors import Invalid, NotFound
from trialbook.queries import ItemGet, ItemList, ItemView, Page
from trialbook_projector.queries.reading import Reading, pack_cursor, page_limit, unpack_cursor

COLUMNS = "created, kind, id, workspace, sequence, data"


def get(reading: Reading, query: ItemGet) -> ItemView:
    """``item.get``; of several that bear a name (files) the newest."""
    conditions: list[str] = ["kind = ?", "NOT deleted"]
    params: list[Any] = [query.kind]
    reading.scope(conditions, params)
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
        what = (query.id or query.name)[:80]
        raise NotFound(f"{query.kind}_not_found", f"There is no {query.kind} {what!r} in this workspace.")
    return _view(found[0])


def listing(reading: Reading, query: ItemList) -> Page:
    """``item.list``."""
    limit = page_limit(query.limit)
    conditions: list[str] = ["kind = ?", "NOT deleted"]
    params: list[Any] = [query.kind]
    reading.scope(conditions, params)
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


def _view(row: Any) -> ItemView:
    _, kind, id_, workspace, sequence, data = row
    return ItemView(kind=kind, id=id_, workspace=workspace, sequence=sequence, data=msgspec.json.decode(data))

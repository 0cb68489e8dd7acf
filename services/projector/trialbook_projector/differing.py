"""Where two tables differ: the first row, found by halving ranges of keys and comparing their hashes."""

from __future__ import annotations

from typing import Any

import msgspec

from trialbook_projector.tables.store import Positions

KEYS = {
    "facts": "sequence", "runs": "created", "items": "created", "logs": "cursor", "metrics": "cursor",
    "records": "cursor", "emitted": "first_cursor", "parked": "sequence",
}  # fmt: skip
OF_FACTS = frozenset({"facts", "runs", "items"})
SHOWN = 200


class FirstDifference(msgspec.Struct, frozen=True, kw_only=True):
    """The first row that differs: the name and value of its key, and column -> (live, rebuilt), cut where long.

    Without columns one side has no such row, or not as many.
    """

    key: str
    value: int
    live_rows: int
    rebuilt_rows: int
    columns: dict[str, tuple[str | None, str | None]]


def first_difference(live: Any, rebuilt: Any, table: str, positions: Positions) -> FirstDifference | None:
    """Compare two cursors up to positions; None when what differed is equal by now (the live tables go on)."""
    key = KEYS[table]
    low, high = 0, positions.facts if table in OF_FACTS or table == "parked" else positions.signals << 16 | 0xFFFF
    if _hash(live, table, key, low, high) == _hash(rebuilt, table, key, low, high):
        return None
    while low < high:
        middle = (low + high) // 2
        if _hash(live, table, key, low, middle) != _hash(rebuilt, table, key, low, middle):
            high = middle
        else:
            low = middle + 1
    return _described(live, rebuilt, table, key, low)


def _hash(cursor: Any, table: str, key: str, low: int, high: int) -> tuple[int, int, int]:
    within = f"SELECT hash(t) AS h FROM book.{table} AS t WHERE {key} BETWEEN ? AND ?"  # noqa: S608 -- our own names
    sql = f"SELECT count(*), coalesce(bit_xor(h), 0), coalesce(sum(h) % 18446744073709551616, 0) FROM ({within})"  # noqa: S608 -- the same
    rows, xor, total = cursor.execute(sql, [low, high]).fetchone()
    return int(rows), int(xor), int(total)


def _described(live: Any, rebuilt: Any, table: str, key: str, value: int) -> FirstDifference:
    sql = f"SELECT * FROM book.{table} WHERE {key} = ? ORDER BY ALL LIMIT 100"  # noqa: S608 -- our own names
    found = [cursor.execute(sql, [value]).fetchall() for cursor in (live, rebuilt)]
    names = [column[0] for column in live.description]
    columns: dict[str, tuple[str | None, str | None]] = {}
    for old, new in zip(*found, strict=False):
        if old != new:
            columns = {name: (_cut(a), _cut(b)) for name, a, b in zip(names, old, new, strict=True) if a != b}
            break
    return FirstDifference(key=key, value=value, live_rows=len(found[0]), rebuilt_rows=len(found[1]), columns=columns)


def _cut(value: Any) -> str | None:
    if value is None:
        return None
    text = str(value)
    return text if len(text) <= SHOWN else text[:SHOWN] + "..."

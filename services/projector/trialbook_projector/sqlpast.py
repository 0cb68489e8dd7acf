"""The views of SQL users as they were at a moment: what has changed since is folded into small tables of its own.

Rows of signals are cut by their own time alone; of counts and progress, of which only the latest are kept, those are
there that are from before that moment.
"""

from __future__ import annotations

from typing import Any

from trialbook_projector.queries import items, past
from trialbook_projector.queries.reading import Reading
from trialbook_projector.tables import arrow
from trialbook_projector.tables.schema import USER_VIEWS

RUNS, ITEMS = "temp.then_runs", "temp.then_items"
KINDS = ("workspace", "file", "dataset", "model")

THEN = {
    "book.facts": "(SELECT * FROM book.facts WHERE sequence <= {sequence})",
    "book.runs": "(SELECT * FROM book.runs WHERE sequence <= {sequence} "
    "UNION ALL BY NAME SELECT * FROM temp.then_runs)",
    "book.items": "(SELECT * FROM book.items WHERE sequence <= {sequence} "
    "UNION ALL BY NAME SELECT * FROM temp.then_items)",
    "book.emitted": "(SELECT * FROM book.emitted WHERE last_time <= {time})",
    "book.logs": "(SELECT * FROM book.logs WHERE time <= {time})",
    "book.metrics": "(SELECT * FROM book.metrics WHERE time <= {time})",
    "book.records": "(SELECT * FROM book.records WHERE time <= {time})",
}
"""Base table -> what stands in its place in the views."""


def views(reading: Reading) -> dict[str, str]:
    """Name -> query with ``{scope}``; the connection has the tables that they read. Raises as looking back does."""
    assert reading.past is not None
    conditions: list[str] = ["true"]
    params: list[Any] = []
    reading.scope(conditions, params)
    runs = past.changed_runs(reading, conditions, params)
    others = [entry for kind in KINDS for entry in items.changed(reading, kind, conditions, params)]
    _fill(reading.cursor, "book.runs", RUNS, arrow.runs(runs) if runs else None)
    _fill(reading.cursor, "book.items", ITEMS, arrow.items(others) if others else None)
    moment = {"sequence": reading.past.sequence, "time": f"make_timestamp({reading.past.time_us})"}
    then = {table: query.format(**moment) for table, query in THEN.items()}
    return {name: _replaced(view, then) for name, view in USER_VIEWS.items()}


def _fill(cursor: Any, like: str, table: str, rows: Any) -> None:
    cursor.execute(f"CREATE OR REPLACE TEMP TABLE {table.removeprefix('temp.')} AS SELECT * FROM {like} LIMIT 0")  # noqa: S608 -- our own names
    if rows is not None:
        cursor.register("then_batch", rows)
        cursor.execute(f"INSERT INTO {table} BY NAME SELECT * FROM then_batch")  # noqa: S608 -- our own names
        cursor.unregister("then_batch")


def _replaced(view: str, then: dict[str, str]) -> str:
    for table, query in then.items():
        view = view.replace(f"{table} AS ", f"{query} AS ")
    return view

"""What a rebuild takes from the live tables, because the stream does not have it any more: the rows of expired signals.

A run may have emitted before and after the place up to which signals have expired, and the live tables go on counting
while the new ones are built. So what each run had emitted is remembered as of the moment up to which they are built.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from trialbook_projector.live import Live
from trialbook_projector.readers import Readers
from trialbook_projector.tables import hashes, schema
from trialbook_projector.tables.hashes import TableHash
from trialbook_projector.tables.store import Positions, Store

CARRIED = ("logs", "metrics", "records")


class Moment:
    """The live tables at one moment: how far they had come, their hashes, and what runs had emitted."""

    positions: Positions
    hashes: dict[str, TableHash]

    def __init__(self, live: Live) -> None:
        self._readers: Readers = live.tables.sql
        self._cursor: Any = None

    async def take(self) -> None:
        """Remember the present moment."""
        await self._readers.run(self._take)

    def _take(self, cursor: Any) -> None:
        self._cursor = own = cursor.cursor()  # a temporary table belongs to its connection
        own.execute("BEGIN TRANSACTION")
        rows = dict(own.execute("SELECT stream, position FROM book.positions").fetchall())
        self.positions = Positions(rows["FACTS"], rows["SIGNALS"])
        self.hashes = {table: hashes.of_table(own, table) for table in schema.HASHED}
        own.execute("CREATE TEMP TABLE emitted_then AS SELECT * FROM book.emitted")
        own.execute("COMMIT")

    async def carry_over(self, new: Store, first: int) -> None:
        """Copy what belongs to signals before ``first`` into tables that were built up to ``positions``.

        The build may have seen some of these: they expired after it had read them.
        """
        first = min(first, self.positions.signals + 1)
        bound = first << 16
        at = "(workspace, run, attempt, kind, name)"
        queries = {table: f"SELECT * FROM book.{table} WHERE cursor < {bound}" for table in CARRIED}  # noqa: S608 -- our own names and numbers
        gone = dict.fromkeys(CARRIED, f"cursor < {bound}")
        queries["parked"] = f"SELECT * FROM book.parked WHERE stream = 'SIGNALS' AND sequence < {first}"  # noqa: S608 -- our own names and numbers
        gone["parked"] = f"stream = 'SIGNALS' AND sequence < {first}"
        queries["emitted"] = f"SELECT * FROM emitted_then WHERE first_cursor < {bound}"  # noqa: S608 -- numbers
        gone["emitted"] = f"{at} IN (SELECT {at} FROM batch)"  # noqa: S608 -- our own names
        new.writer.begin()
        for table, sql in queries.items():
            rows = await self._readers.run(partial(self._read, sql))
            new.writer.register("batch", rows)
            new.writer.execute(f"DELETE FROM book.{table} WHERE {gone[table]}")  # noqa: S608 -- our own names and numbers
            new.writer.execute(f"INSERT INTO book.{table} SELECT * FROM batch")  # noqa: S608 -- our own names
            new.writer.unregister("batch")
        new.writer.commit()

    def _read(self, sql: str, _: Any) -> Any:
        return self._cursor.sql(sql).to_arrow_table()

    def close(self) -> None:
        """Forget it."""
        cursor, self._cursor = self._cursor, None
        if cursor is not None:
            cursor.close()

"""Guarded SQL: one SELECT over views that hold the asker's workspace, with limits on time, rows and bytes."""

from __future__ import annotations

import io
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import duckdb
import msgspec
import pyarrow as pa

from trialbook.errors import Invalid, Refusal, TimedOut, TooLarge
from trialbook.ids import parse_slug
from trialbook.queries import Sql, SqlResult
from trialbook_projector import sqlformat, sqlpast
from trialbook_projector.queries.reading import EVERYWHERE, Reading, SignalsWanted
from trialbook_projector.readers import Readers, one_state
from trialbook_projector.settings import Settings
from trialbook_projector.sqlguard import Guard, first_line
from trialbook_projector.tables.schema import USER_VIEWS

Then = Callable[[Any], Reading]
"""Gives the reading of a cursor that looks back to a moment."""
EMITTED = re.compile(r"(?i)\b(logs|metrics|records|progress|emitted)\b")
"""The views of what runs have emitted."""
OWED = "SELECT max(r.signal_sequence) FROM book.runs AS r WHERE r.terminal AND r.signal_sequence > ? AND {scope}"
BATCH_ROWS = 2048
MAX_ARROW_BYTES = 64 * 1024**2


class Looked(NamedTuple):
    """Where a statement looks: ``then``, at a moment that is past; else now, and what it reads of signals must be there
    to the end for each run that is over. ``signals``: up to there it is; None: whatever is there will do.
    """

    then: Then | None = None
    signals: int | None = None


ANYHOW = Looked()


class Result(msgspec.Struct, frozen=True):
    """Bytes of ``media_type``; without one, JSON of a ``SqlResult``."""

    payload: bytes
    media_type: str | None


async def run(
    readers: Readers, workspace: str, query: Sql, settings: Settings, room: int, looked: Looked = ANYHOW
) -> Result:
    """Answer one query from one state of the tables; ``room`` is the number of bytes a reply may have.

    Raises ``Invalid`` (``invalid_sql``, ``sql_not_allowed``, ``sql_failed``, ``invalid_limit``), ``TooLarge``,
    ``TimedOut``, or ``SignalsWanted``.
    """
    if not 1 <= query.max_rows <= settings.sql_max_rows:
        raise Invalid("invalid_limit", f"max_rows must be 1 to {settings.sql_max_rows}.")
    if not 0 < query.timeout_s <= settings.sql_max_s:
        raise Invalid("invalid_limit", f"timeout_s must be more than 0 and at most {settings.sql_max_s:g} seconds.")
    scope = "true" if workspace == EVERYWHERE else f"r.workspace = '{parse_slug(workspace, 'workspace')}'"
    return await readers.run(lambda cursor: _Session.of(cursor).answer(query, room, scope, looked))


class _Session:
    """One thread's connection for SQL: its views belong to one workspace at a time."""

    _local = threading.local()

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor
        self._scope = ""
        self._guard = Guard(cursor)

    @classmethod
    def of(cls, cursor: Any) -> _Session:
        """The session of this thread and cursor."""
        session: _Session | None = getattr(cls._local, "session", None)
        if session is None or session._cursor is not cursor:
            session = cls._local.session = cls(cursor)
        return session

    def _see(self, scope: str, then: Then | None) -> None:
        """Have views for ``scope``, now or then."""
        if then is None and self._scope == scope:
            return
        self._scope = ""
        for name, view in (USER_VIEWS if then is None else sqlpast.views(then(self._cursor))).items():
            # sql: our own names and views; the scope holds a checked workspace token
            self._cursor.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS {view.format(scope=scope)}")
        self._scope = scope if then is None else ""

    def _must_be_there(self, text: str, scope: str, signals: int | None) -> None:
        """Raises ``SignalsWanted`` when runs are over whose signals are not all there, and the statement reads some."""
        if signals is None or not EMITTED.search(text):
            return
        # sql: a constant; the scope holds a checked workspace token
        last = self._cursor.execute(OWED.format(scope=scope), [signals]).fetchall()[0][0]
        if last is not None:
            raise SignalsWanted(last)

    def answer(self, query: Sql, room: int, scope: str, looked: Looked) -> Result:
        """The rows, or what is wrong with the statement."""
        started = time.monotonic()
        if looked.then is None:
            self._see(scope, None)  # views of now are kept: not in the transaction, which is rolled back
        text = self._guard.check(query.sql)
        try:
            with one_state(self._cursor), _deadline(self._cursor, query.timeout_s):
                if looked.then is not None:
                    self._see(scope, looked.then)
                self._must_be_there(text, scope, looked.signals)
                types, table, truncated = self._read(text, query)
            return _result(query, types, table, truncated, started, room)
        except Refusal:
            raise
        except duckdb.InterruptException:
            raise TimedOut(
                "sql_timeout", f"The query took longer than {query.timeout_s:g} s; narrow it or raise timeout_s."
            ) from None
        except duckdb.OutOfMemoryException:
            raise TooLarge("sql_too_large", "The query needs more memory than it may have; narrow it.") from None
        except (duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException) as error:
            raise Invalid("invalid_sql", first_line(error)) from None
        except (duckdb.Error, pa.ArrowException, ValueError, OverflowError, TypeError) as error:
            # Without the message: it may quote values.
            raise Invalid(
                "sql_failed",
                f"The query failed on a value ({type(error).__name__.removesuffix('Exception')}); "
                "check casts (TRY_CAST gives NULL instead) and ranges.",
            ) from None

    def _read(self, text: str, query: Sql) -> tuple[list[tuple[str, str]], Any, bool]:
        """Column names and types, at most ``max_rows`` rows, and whether there were more."""
        relation = self._cursor.sql(text, params=query.params or None)
        if relation is None:
            raise Invalid("sql_not_allowed", "Exactly one SELECT is allowed.")
        types = list(zip(relation.columns, map(str, relation.types), strict=True))
        reader = relation.to_arrow_reader(BATCH_ROWS)
        try:
            batches, rows, size = [], 0, 0
            for batch in reader:
                batches.append(batch)
                rows += batch.num_rows
                size += batch.nbytes
                if size > MAX_ARROW_BYTES:
                    raise TooLarge("sql_too_large", "The result is too large; select fewer columns or add a LIMIT.")
                if rows > query.max_rows:
                    break
            table = pa.Table.from_batches(batches, reader.schema)
        finally:
            reader.close()
        return types, table.slice(0, query.max_rows), rows > query.max_rows


def _result(query: Sql, types: list[tuple[str, str]], table: Any, truncated: bool, started: float, room: int) -> Result:
    media_type = None
    if query.format == "json":
        result = SqlResult(
            columns=[{"name": name, "type": type_} for name, type_ in types],
            rows=sqlformat.rows(types, table),
            truncated=truncated,
            elapsed_ms=round((time.monotonic() - started) * 1000, 3),
        )
        payload = msgspec.json.encode(result)
    else:
        buffer = io.BytesIO()
        media_type = sqlformat.WRITERS[query.format](types, table, truncated, buffer)
        payload = buffer.getvalue()
    if len(payload) > room:
        raise TooLarge(
            "reply_too_large",
            f"The result has {len(payload)} bytes and a reply holds {room}; add a LIMIT or select fewer columns.",
        )
    return Result(payload, media_type)


@contextmanager
def _deadline(cursor: Any, seconds: float) -> Iterator[None]:
    """Interrupt the cursor when the time is over, but never after the block has ended."""
    lock = threading.Lock()
    over = False

    def fire() -> None:
        with lock:
            if not over:
                cursor.interrupt()

    timer = threading.Timer(seconds, fire)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        with lock:
            over = True
        timer.cancel()

"""Answer questions. A question may be anything; the answer is always an ``Answer``.

How a question comes in and its answer goes out is the business of ``direct`` and ``questions``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, NamedTuple, TypeGuard

import msgspec
from nats.aio.client import Client

from trialbook.errors import Invalid, NotFound, Refusal, TooLarge, Unavailable
from trialbook.log.api import call
from trialbook.proofs import ALL_QUERIES, LEDGER_QUERIES
from trialbook.queries import (
    Answer,
    Dated,
    EventLines,
    Health,
    ItemList,
    LedgerFacts,
    LedgerSegments,
    MetricCompare,
    ProjectorHealth,
    Query,
    RunActivity,
    RunGet,
    RunList,
    RunLogs,
    RunMetrics,
    RunRows,
    Sql,
    moments,
)  # fmt: skip
from trialbook.streams import FACTS, SIGNALS
from trialbook.times import is_sequence, sequence_of
from trialbook_projector import sql
from trialbook_projector.build import gone
from trialbook_projector.ledger import answers
from trialbook_projector.ledger.service import Ledger
from trialbook_projector.live import Live, Tables, opener
from trialbook_projector.lookup import Lookup
from trialbook_projector.queries import datasubjects, diff, facts, items, lines, past, runs, signals, trail
from trialbook_projector.queries.fitting import fitted
from trialbook_projector.queries.reading import EVERYWHERE, Reading, SignalsWanted, owed, run_not_found, view
from trialbook_projector.readers import one_state
from trialbook_projector.segments import Segments
from trialbook_projector.settings import Settings
from trialbook_projector.tables.cache import LatestProgress, RunEntry
from trialbook_projector.tables.facts import run_key
from trialbook_projector.tables.store import Positions
from trialbook_projector.watermarks import Watermarks

log = logging.getLogger(__name__)
MAX_OPEN = 4096
"""Questions that are being answered at once; who asks beyond that is refused."""
REPLY_MARGIN = 16 * 1024
EMITTED = RunLogs | RunMetrics | RunRows
STATED = RunGet | RunList | ItemList
"""Answered with the exact position of the state that they tell, so that whoever follows from there misses nothing and
hears nothing twice.
"""
STATE_TRIES = 8
PATIENCE_S = 0.25
"""How long to wait for a position before asking the stream whether it exists."""
_encode = msgspec.json.Encoder().encode
_DECODERS = {name: msgspec.json.Decoder(cls).decode for name, cls in ALL_QUERIES.items()}

READ: dict[str, Callable[[Reading, Any], Any]] = {
    "run.get": runs.get,
    "run.list": runs.listing,
    "run.facts": facts.of_run,
    "run.logs": signals.logs,
    "run.metrics": signals.metrics,
    "run.rows": signals.rows,
    "run.activity": runs.activity,
    "metric.compare": signals.compare,
    "event.list": facts.listing,
    "diff.one": diff.one,
    "diff.workspace": diff.workspace,
    "audit.trail": trail.trail,
    "item.get": items.get,
    "item.list": items.listing,
    "datasubject.scope": datasubjects.scope,
}
"""Query name -> the function that answers it in a reader's thread."""


class Reply(msgspec.Struct, frozen=True):
    """What goes back: JSON of an ``Answer``, or bytes of ``media_type``."""

    payload: bytes
    media_type: str | None = None


class _Found(NamedTuple):
    entry: RunEntry
    progress: LatestProgress | None
    seen: Positions


class Answering:
    """Answers from the live tables and from memory."""

    def __init__(
        self, nc: Client, live: Live, settings: Settings, health: Callable[[], ProjectorHealth],
        ledger: Ledger | None = None,
    ) -> None:  # fmt: skip
        """Without ``ledger`` nothing is proven, and nobody watches whether the ledger is intact."""
        self._nc, self._live, self._settings, self._health = nc, live, settings, health
        self._ledger = ledger
        self._lookup = Lookup(live)
        self.segments = Segments(nc, live, settings)
        self._open = 0

    async def guarded(self, subject: str, answer: Callable[[], Awaitable[Reply]]) -> Reply:
        """What ``answer`` finds, or the refusal that stands for what went wrong; never raises."""
        if self._open >= MAX_OPEN:
            return self.refused(Unavailable("overloaded", "Too many questions at once; try again."))
        self._open += 1
        try:
            return await answer()
        except Refusal as refusal:
            return self.refused(refusal)
        except Exception:
            log.exception("could not answer %s", subject)
            return self.refused(Unavailable("projector_fault", "The projector failed on this question; see its log."))
        finally:
            self._open -= 1

    def from_memory(self, workspace: str, query: RunGet) -> Reply | None:
        """The newest state of a run, ahead of the tables if need be; None when only waiting or the tables can tell."""
        head, marks = self._live.head, self._live.watermarks
        if not _newest(query, workspace):
            return None
        self._must_be_intact()
        if not head.marks.reached(query.at_least, 0) or not marks.reached(0, query.at_least_signals):
            return None
        caches = self._live.tables.caches
        key = run_key(workspace, query.id)
        entry = head.run(key) if head.knows(key) else caches.runs.get(key)
        if entry is None:
            return None
        if entry.state.deleted:
            raise run_not_found(query.id)
        positions = Positions(head.marks.positions.facts, marks.positions.signals)
        if owed(entry, positions):
            return None
        return self._answered(_encode(view(entry, caches.progress.get(key))), positions)

    async def answer(self, workspace: str, query: Query) -> Reply:
        """The answer once the tables are where the question wants them. Raises refusals."""
        marks = self._live.watermarks
        if isinstance(query, LEDGER_QUERIES):
            return await self._proof(workspace, query)
        if not isinstance(query, Health):
            self._must_be_intact()
        if _newest(query, workspace):
            await self._wait(self._live.head.marks, query.at_least, 0)
            if (reply := self.from_memory(workspace, query)) is not None:
                return reply
        facts, signals = await self._wanted(workspace, query)
        for moment in moments(query):
            facts = max(facts, await self._looked_back_to(moment))
        if not marks.reached(facts, signals):
            await self._wait(marks, facts, signals)
        positions = marks.positions
        if isinstance(query, Health):
            return self._answered(_encode(self._health()), positions)
        if isinstance(query, LedgerFacts | LedgerSegments):
            return self._answered(_encode(await self.segments.answer(workspace, query)), positions)
        if isinstance(query, Sql):
            return await self._with_keys(partial(self._sql_of_one_state, workspace, query))
        if _newest(query, workspace):
            return await self._newest_run(workspace, query.id)
        try:
            return await self._with_keys(partial(self._read, workspace, query, positions))
        except SignalsWanted as wanted:
            await self._soon(wanted.sequence)
            return await self._with_keys(partial(self._read, workspace, query, marks.positions, hurried=True))

    async def _newest_run(self, workspace: str, id_: str) -> Reply:
        """A run from the head or the tables. Of one that is over the last progress is waited for, but not for long: how
        runs end is told while the tables are behind with what others emit.
        """
        found = await self._looked_up(workspace, id_)
        if missing := owed(found.entry, found.seen):
            await self._soon(missing)
            found = await self._looked_up(workspace, id_)
        entry, seen = found.entry, found.seen
        if entry.state.deleted:
            raise run_not_found(id_)
        told = view(entry, None if owed(entry, seen) else found.progress)
        return self._answered(_encode(told), Positions(max(seen.facts, entry.sequence), seen.signals))

    async def _looked_up(self, workspace: str, id_: str) -> _Found:
        """A run, and positions which what was found is at least as new as. Raises ``NotFound``."""
        key, seen = run_key(workspace, id_), self._live.watermarks.positions
        entry = self._live.head.run(key)
        if entry is not None:
            return _Found(entry, self._live.tables.caches.progress.get(key), seen)
        return _Found(*await self._lookup.run(workspace, id_), seen)

    async def _soon(self, signals: int) -> None:
        """Wait a moment for signals; those that are gone from the stream count as applied from then on."""
        marks = self._live.watermarks
        before = marks.positions.signals
        try:
            await marks.wait(0, signals, min(PATIENCE_S, self._settings.wait_s))
        except Unavailable:
            if marks.positions.signals == before and signals <= await self._last(SIGNALS):  # else they are on their way
                await self._pass_over_gone(signals)

    async def _pass_over_gone(self, signals: int) -> None:
        if await gone(self._nc, self._live.watermarks.positions.signals, signals):
            await self._live.pass_over(signals)

    async def _last(self, stream: str) -> int:
        return int((await call(self._nc, f"STREAM.INFO.{stream}"))["state"]["last_seq"])

    async def _sql_of_one_state(self, workspace: str, query: Sql) -> Reply:
        """The answer from tables in which everything is there that ended runs have emitted.

        Raises ``Unavailable`` (code ``projection_behind``).
        """
        for _ in range(STATE_TRIES):
            try:
                return await self._sql(workspace, query, self._live.watermarks.positions)
            except SignalsWanted as wanted:
                try:
                    await self._wait(self._live.watermarks, 0, wanted.sequence)
                except Invalid:  # the stream has lost its end: nothing will come
                    return await self._sql(workspace, query, self._live.watermarks.positions, hurried=True)
        raise Unavailable("projection_behind", "Runs keep ending whose signals are still on their way; try again.")

    async def _sql(self, workspace: str, query: Sql, positions: Positions, *, hurried: bool = False) -> Reply:
        tables = self._live.tables
        then = partial(self._reading, tables, workspace, query, positions) if query.as_of else None
        looked = sql.Looked(then, None if hurried or then else positions.signals)
        result = await sql.run(tables.sql, workspace, query, self._settings, self._room(), looked)
        if result.media_type is not None:
            return Reply(result.payload, result.media_type)
        return self._answered(result.payload, positions)

    async def _read(self, workspace: str, query: Query, positions: Positions, *, hurried: bool = False) -> Reply:
        """What a reader's thread finds in one state of the tables, now or at the moment that is looked back to."""
        tables = self._live.tables
        dated = isinstance(query, Dated) and bool(query.as_of)

        def read(cursor: Any) -> tuple[bytes, Positions]:
            at = tables.store.positions(cursor) if isinstance(query, STATED) else positions
            reading = self._reading(tables, workspace, query, at, cursor, hurried=hurried)
            if isinstance(query, EventLines):
                return lines.lines(reading, query, self._room()), at
            found = fitted(READ[query.NAME], reading, query, self._room())
            return found, at if reading.past is None else Positions(reading.past.sequence, at.signals)

        def at_once(cursor: Any) -> tuple[bytes, Positions]:
            with one_state(cursor):
                return read(cursor)

        # Log lines are counted from memory first, which the tables must not be older than; lines of facts never change.
        apart = isinstance(query, RunLogs | EventLines) and not dated
        found, seen = await tables.readers.run(read if apart else at_once)
        return Reply(found, lines.MEDIA_TYPE) if isinstance(query, EventLines) else self._answered(found, seen)

    def _reading(
        self, tables: Tables, workspace: str, query: Query, positions: Positions, cursor: Any, *, hurried: bool = False
    ) -> Reading:
        reading = Reading(cursor, workspace, tables.caches, positions, opener(self._live.keys), hurried=hurried)
        if isinstance(query, Dated) and query.as_of:
            reading.past = past.moment_of(reading, query.as_of)
        return reading

    async def _with_keys(self, answer: Callable[[], Awaitable[Reply]]) -> Reply:
        """An answer, tried again when it needs keys of data subjects that are not at hand."""
        try:
            return await answer()
        except past.KeysWanted as wanted:
            keys = self._live.keys
            assert keys is not None, "without keys nothing is opened"
            await asyncio.gather(*(keys.ensure_key(key) for key in wanted.keys))
            return await answer()

    async def _looked_back_to(self, moment: str) -> int:
        """How far the tables must be to look back to a moment: of a time or of now, as far as the ledger is now."""
        if is_sequence(moment):
            return sequence_of(moment)
        return await self._last(FACTS)

    def _must_be_intact(self) -> None:
        if self._ledger is not None:
            self._ledger.watch.must_be_intact()

    async def _proof(self, workspace: str, query: Query) -> Reply:
        if workspace != EVERYWHERE or self._ledger is None:
            raise Invalid("unknown_query", f"{query.NAME} is asked across workspaces only.")
        found = await answers.answer(self._ledger, query)
        if isinstance(found, bytes):
            return Reply(found, answers.OCTETS)
        return self._answered(_encode(found), self._live.watermarks.positions)

    async def control(self, result: Awaitable[Any]) -> Reply:
        """The outcome of a control request."""
        return self._answered(_encode(await result), self._live.watermarks.positions)

    async def _wanted(self, workspace: str, query: Query) -> tuple[int, int]:
        """How far the tables must be: as asked, and for what a finished run has emitted at least to its verdict.

        Who was told that a run is finished then reads all of it, however busy the writer is.
        """
        facts, signals = query.at_least, query.at_least_signals
        ids = [query.id] if isinstance(query, EMITTED) else []
        if isinstance(query, RunActivity | MetricCompare):
            ids = query.ids if isinstance(query, RunActivity) else query.runs
        for entry in await asyncio.gather(*(self._known(workspace, id_) for id_ in ids)):
            if entry is not None and (entry.state.terminal or (isinstance(query, Dated) and query.as_of)):
                facts, signals = max(facts, entry.sequence), max(signals, entry.state.signal_sequence)
        return facts, signals

    async def _known(self, workspace: str, id_: str) -> RunEntry | None:
        """A run as the ledger has it, remembered or not (after a start, hardly any is); None: no such run."""
        key, head = run_key(workspace, id_), self._live.head
        entry = head.run(key) or self._live.tables.caches.runs.get(key)
        if entry is not None or workspace == EVERYWHERE:
            return entry
        if head.knows(key):  # its facts are on their way into the tables and could not be folded before
            await self._wait(self._live.watermarks, head.marks.positions.facts, 0)
        try:
            return (await self._lookup.run(workspace, id_))[0]
        except NotFound:
            return None

    async def _wait(self, marks: Watermarks, facts: int, signals: int) -> None:
        """Wait for positions; who asks for one that no stream has reached is told so instead of waiting in vain."""
        try:
            await marks.wait(facts, signals, min(PATIENCE_S, self._settings.wait_s))
        except Unavailable:
            for stream, wanted in ((FACTS, facts), (SIGNALS, signals)):
                if wanted > (last := await self._last(stream)):
                    raise Invalid(
                        "sequence_ahead", f"{stream} ends at sequence {last}; {wanted} does not exist yet.", last=last
                    ) from None
            if marks is self._live.watermarks:
                await self._pass_over_gone(signals)
            await marks.wait(facts, signals, self._settings.wait_s)

    def _room(self) -> int:
        return self._nc.max_payload - REPLY_MARGIN

    def _answered(self, result: bytes, positions: Positions) -> Reply:
        if len(result) > self._room():
            raise TooLarge(
                "reply_too_large",
                f"The answer has {len(result)} bytes; a reply holds {self._room()}. Ask for fewer rows, or let "
                "the NATS server take larger messages (max_payload).",
            )
        return Reply(_encode(Answer(facts=positions.facts, signals=positions.signals, result=msgspec.Raw(result))))

    def refused(self, refusal: Refusal) -> Reply:
        """A refusal as a reply."""
        positions = self._live.watermarks.positions
        error = {"kind": refusal.kind, "code": refusal.code, "detail": refusal.detail, "extra": refusal.extra}
        return Reply(_encode(Answer(facts=positions.facts, signals=positions.signals, error=error)))


def _newest(query: Query, workspace: str) -> TypeGuard[RunGet]:
    """Whether it asks for the newest state of one run by its id."""
    return isinstance(query, RunGet) and bool(query.id) and not query.as_of and workspace != EVERYWHERE


def decode(name: str, payload: bytes) -> Any:
    """A typed query. Raises ``Invalid``: ``unknown_query`` or ``invalid_query``."""
    if name not in _DECODERS:
        raise Invalid("unknown_query", f"There is no query {name[:80]!r}; there are {', '.join(ALL_QUERIES)}.")
    try:
        query: Query = _DECODERS[name](payload or b"{}")
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise Invalid("invalid_query", f"{name} cannot be read: {error}") from None
    return query

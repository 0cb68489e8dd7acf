"""Answer questions on ``ask.<workspace>.<query>``. A question may be anything; the answer is always an ``Answer``."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from trialbook import subjects
from trialbook.asking import MEDIA_TYPE
from trialbook.errors import Invalid, Refusal, TooLarge, Unavailable
from trialbook.log.api import call
from trialbook.queries import (
    QUERIES,
    Answer,
    Health,
    ProjectorHealth,
    Query,
    RunActivity,
    RunGet,
    RunLogs,
    RunMetrics,
    RunRows,
    Sql,
)  # fmt: skip
from trialbook.streams import FACTS, SIGNALS
from trialbook_projector import sql
from trialbook_projector.live import Live
from trialbook_projector.lookup import Lookup
from trialbook_projector.queries import facts, items, runs, signals
from trialbook_projector.queries.reading import EVERYWHERE, Reading, run_not_found, view
from trialbook_projector.settings import Settings
from trialbook_projector.tables.facts import run_key
from trialbook_projector.tables.store import Positions
from trialbook_projector.watermarks import Watermarks

log = logging.getLogger(__name__)
MAX_TASKS = 4096
REPLY_MARGIN = 16 * 1024
QUEUE_GROUP = "projector"
EMITTED = RunLogs | RunMetrics | RunRows
PATIENCE_S = 0.25
"""How long to wait for a position before asking the stream whether it exists."""
_encode = msgspec.json.Encoder().encode
_DECODERS = {name: msgspec.json.Decoder(cls).decode for name, cls in QUERIES.items()}

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
    "item.get": items.get,
    "item.list": items.listing,
}
"""Query name -> the function that answers it in a reader's thread."""

Control = Callable[[bytes], Awaitable[Any]]


class Reply(msgspec.Struct, frozen=True):
    """What goes back: JSON of an ``Answer``, or bytes of ``media_type``."""

    payload: bytes
    media_type: str | None = None


class Answering:
    """Subscribes to all questions, sharing them with other projectors of the same ledger."""

    def __init__(
        self, nc: Client, live: Live, settings: Settings, health: Callable[[], ProjectorHealth],
        controls: dict[str, Control] | None = None,
    ) -> None:  # fmt: skip
        self._nc, self._live, self._settings, self._health = nc, live, settings, health
        self._controls = controls or {}
        self._lookup = Lookup(live)
        self._tasks: set[asyncio.Task[None]] = set()  # bounded by MAX_TASKS
        self._subscription: Subscription | None = None

    async def start(self) -> None:
        """Begin to answer."""
        self._subscription = await self._nc.subscribe(subjects.ASKS_ALL, queue=QUEUE_GROUP, cb=self._on_message)

    async def stop(self) -> None:
        """Take no more questions and answer those that are here."""
        if self._subscription is not None:
            await self._subscription.drain()  # type: ignore[no-untyped-call] # nats-py has no types here
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._settings.wait_s)

    async def _on_message(self, message: Msg) -> None:
        if not message.reply:
            return
        try:
            quick = self._at_once(message)
        except Refusal as refusal:
            quick = self._refused(refusal)
        if quick is not None:
            await self._send(message, quick)
        elif len(self._tasks) >= MAX_TASKS:
            await self._send(
                message, self._refused(Unavailable("overloaded", "Too many questions at once; try again."))
            )
        else:
            task = asyncio.create_task(self._in_time(message))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _at_once(self, message: Msg) -> Reply | None:
        """The answer to ``run.get`` when it needs no waiting and no table; None for everything else."""
        workspace, name = subjects.asked(message.subject)
        if name != RunGet.NAME or workspace == EVERYWHERE:
            return None
        return self._from_memory(workspace, decode(name, message.data))

    def _from_memory(self, workspace: str, query: RunGet) -> Reply | None:
        """The newest state of a run, ahead of the tables if need be; None when only the tables can tell."""
        head, marks = self._live.head, self._live.watermarks
        if not query.id or not head.marks.reached(query.at_least, 0) or not marks.reached(0, query.at_least_signals):
            return None
        caches = self._live.tables.caches
        key = run_key(workspace, query.id)
        entry = head.run(key) if head.knows(key) else caches.runs.get(key)
        if entry is None:
            return None
        if entry.state.deleted:
            raise run_not_found(query.id)
        positions = Positions(head.marks.positions.facts, marks.positions.signals)
        return self._answered(_encode(view(entry, caches.progress.get(key))), positions)

    async def _in_time(self, message: Msg) -> None:
        try:
            reply = await self._answer(message)
        except Refusal as refusal:
            reply = self._refused(refusal)
        except Exception:
            log.exception("could not answer %s", message.subject)
            reply = self._refused(Unavailable("projector_fault", "The projector failed on this question; see its log."))
        await self._send(message, reply)

    async def _answer(self, message: Msg) -> Reply:
        workspace, name = subjects.asked(message.subject)
        if name in self._controls:
            return await self._control(workspace, name, message.data)
        query = decode(name, message.data)
        marks = self._live.watermarks
        if isinstance(query, RunGet) and query.id and workspace != EVERYWHERE:
            await self._wait(self._live.head.marks, query.at_least, 0)
            if (reply := self._from_memory(workspace, query)) is not None:
                return reply
        facts, signals = self._wanted(workspace, query)
        if not marks.reached(facts, signals):
            await self._wait(marks, facts, signals)
        positions = marks.positions
        if isinstance(query, Health):
            return self._answered(_encode(self._health()), positions)
        if isinstance(query, Sql):
            result = await sql.run(self._live.tables.sql, workspace, query, self._settings, self._room())
            if result.media_type is not None:
                return Reply(result.payload, result.media_type)
            return self._answered(result.payload, positions)
        if isinstance(query, RunGet) and query.id and workspace != EVERYWHERE:
            entry, progress = await self._lookup.run(workspace, query.id)
            return self._answered(_encode(view(entry, progress)), positions)
        tables, function = self._live.tables, READ[name]

        def read(cursor: Any) -> bytes:
            return _encode(function(Reading(cursor, workspace, tables.caches, positions), query))

        return self._answered(await tables.readers.run(read), positions)

    def _wanted(self, workspace: str, query: Query) -> tuple[int, int]:
        """How far the tables must be: as asked, and for what a finished run has emitted at least to its verdict.

        Who was told that a run is finished then reads all of it, however busy the writer is.
        """
        facts, signals = query.at_least, query.at_least_signals
        ids = query.ids if isinstance(query, RunActivity) else [query.id] if isinstance(query, EMITTED) else []
        for id_ in ids:
            key = run_key(workspace, id_)
            entry = self._live.head.run(key) or self._live.tables.caches.runs.get(key)
            if entry is not None and entry.state.terminal:
                facts, signals = max(facts, entry.sequence), max(signals, entry.state.signal_sequence)
        return facts, signals

    async def _wait(self, marks: Watermarks, facts: int, signals: int) -> None:
        """Wait for positions; who asks for one that no stream has reached is told so instead of waiting in vain."""
        try:
            await marks.wait(facts, signals, min(PATIENCE_S, self._settings.wait_s))
        except Unavailable:
            for stream, wanted in ((FACTS, facts), (SIGNALS, signals)):
                last = int((await call(self._nc, f"STREAM.INFO.{stream}"))["state"]["last_seq"])
                if wanted > last:
                    raise Invalid(
                        "sequence_ahead", f"{stream} ends at sequence {last}; {wanted} does not exist yet.", last=last
                    ) from None
            await marks.wait(facts, signals, self._settings.wait_s)

    async def _control(self, workspace: str, name: str, payload: bytes) -> Reply:
        """A control request; only those who may ask across workspaces may give one."""
        if workspace != EVERYWHERE:
            raise Invalid("unknown_query", f"{name} is asked across workspaces only.")
        try:
            result = await self._controls[name](payload)
        except msgspec.MsgspecError as error:
            raise Invalid("invalid_query", f"{name} cannot be read: {error}") from None
        return self._answered(_encode(result), self._live.watermarks.positions)

    def _room(self) -> int:
        return self._nc.max_payload - REPLY_MARGIN

    def _answered(self, result: bytes, positions: Positions) -> Reply:
        if len(result) > self._room():
            raise TooLarge(
                "reply_too_large",
                f"The answer has {len(result)} bytes; a reply holds {self._room()}. Ask for fewer rows or use brief.",
            )
        return Reply(_encode(Answer(facts=positions.facts, signals=positions.signals, result=msgspec.Raw(result))))

    def _refused(self, refusal: Refusal) -> Reply:
        positions = self._live.watermarks.positions
        error = {"kind": refusal.kind, "code": refusal.code, "detail": refusal.detail, "extra": refusal.extra}
        return Reply(_encode(Answer(facts=positions.facts, signals=positions.signals, error=error)))

    async def _send(self, message: Msg, reply: Reply) -> None:
        headers = {MEDIA_TYPE: reply.media_type} if reply.media_type else None
        try:
            await self._nc.publish(message.reply, reply.payload, headers=headers)
        except nats.errors.Error as error:  # the asker repeats its question after a reconnect
            log.warning("could not send an answer to %s: %s", message.subject, error)


def decode(name: str, payload: bytes) -> Any:
    """A typed query. Raises ``Invalid``: ``unknown_query`` or ``invalid_query``."""
    if name not in _DECODERS:
        raise Invalid("unknown_query", f"There is no query {name[:80]!r}; there are {', '.join(QUERIES)}.")
    try:
        query: Query = _DECODERS[name](payload or b"{}")
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise Invalid("invalid_query", f"{name} cannot be read: {error}") from None
    return query

"""Data subjects: people whose personal data facts hold sealed, and how they are erased.

The identifier a client gives names a key and is stored nowhere. An erasure is a fact first; then whoever takes it from
the queue overwrites what was stored outside the ledger, destroys the key, and says so in a second fact.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig

from trialbook import subjects
from trialbook.blobs.nats import NatsBlobStore
from trialbook.clock import Clock
from trialbook.domain import datasubject as domain
from trialbook.domain.run.commands import RequestCancel
from trialbook.envelope import AggregateId, Metadata
from trialbook.errors import Conflict, Invalid, Refusal
from trialbook.handle import Handler, Outcome
from trialbook.log.nats import NatsEventLog
from trialbook.log.shred import shred
from trialbook.queries import DataSubjectScope, DataSubjectView
from trialbook.streams import FACTS, SIGNALS
from trialbook.tasks import ended
from trialbook.times import rfc3339
from trialbook.vault.ring import KeyRing
from trialbook_gateway.asking import CheckedAsk

_log = logging.getLogger(__name__)
HEADER = "Trialbook-Data-Subject"
MAX_CHARS = 200
REMEMBERED = 4096
DURABLE = "erasures"
ACK_WAIT_S = 15.0
MAX_WAITING = 1024
"""Erasures that have been begun and wait for runs; those behind them wait to be begun."""
TURN_S = 5.0
AGAIN_S = 2.0
ASK_TIMEOUT_S = 60.0
RUNS_S = 0.2
RUNS_END_S = 5.0
"""So long the first look at an erasure waits for its runs to end; the later ones do not, so that others pass it."""


class RunsGoOn(Exception):
    """An erasure waits for runs that were cancelled and have not ended."""

    def __init__(self, runs: Sequence[str]) -> None:
        super().__init__(f"these runs do not end: {', '.join(runs)}")


class DataSubjects:
    """Registers, erases, and carries erasures out. ``start`` before and ``close`` after use."""

    def __init__(
        self, nc: Client, keys: KeyRing, log: NatsEventLog, handler: Handler, ask: CheckedAsk, blobs: NatsBlobStore,
        clock: Clock,
    ) -> None:  # fmt: skip
        self._nc, self._keys, self._log, self._handler = nc, keys, log, handler
        self._ask, self._blobs, self._clock = ask, blobs, clock
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()  # bounded by REMEMBERED
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to carry erasures out, those that were begun by others included."""
        if self._keys.usable:
            self._task = asyncio.create_task(self._run(), name=DURABLE)

    async def close(self) -> None:
        """Stop; an erasure in hand is taken up again by the next one."""
        await ended(self._task)

    def aggregate(self, workspace: str, data_subject: str) -> AggregateId:
        """The aggregate of a data subject. Raises ``Invalid``, ``Unavailable`` without a master key."""
        text = data_subject.strip()
        if not 1 <= len(text) <= MAX_CHARS or not text.isprintable():
            raise Invalid("invalid_data_subject", f"A data subject is 1 to {MAX_CHARS} printable characters.")
        return AggregateId(workspace, "datasubject", self._keys.id_of(workspace, text))

    async def key_for(self, headers: Mapping[str, str], workspace: str, meta: Metadata) -> str:
        """The key that a creation's personal data is sealed with; empty when its headers name no data subject.

        Raises ``Conflict`` (code ``data_subject_erased``).
        """
        given = headers.get(HEADER)
        if given is None:
            return ""
        aggregate = self.aggregate(workspace, given)
        remembered = (workspace, aggregate.id)
        await self._keys.create(aggregate.id)
        if remembered not in self._known:
            await self._handler.handle(aggregate, domain.Register(), meta)
            self._known[remembered] = None
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return aggregate.id

    async def erase(self, aggregate: AggregateId, reason: str, meta: Metadata) -> Outcome[domain.DataSubjectState]:
        """Decide to erase. Raises ``NotFound``, or ``Conflict`` (code ``data_subject_active``) while runs go on."""
        if not (await self._handler.load(aggregate)).state.erased_at:
            scope = await self._scope(aggregate, await self._log.last_sequence())
            if scope.unfinished:
                raise Conflict(
                    "data_subject_active",
                    f"{len(scope.unfinished)} runs of this data subject are not finished; cancel them first.",
                    runs=scope.unfinished,
                )
        self._known.pop((aggregate.workspace, aggregate.id), None)
        return await self._handler.handle(aggregate, domain.Erase(reason=reason), meta)

    async def waits_for(self, aggregate: AggregateId, timeout_s: float) -> list[str]:
        """The runs (at most 100) that have to end before an erasure is carried out. Raises ``Unavailable``."""
        question = DataSubjectScope(datakey=aggregate.id, runs_only=True, at_least=await self._log.last_sequence())
        return (await self._asked(aggregate, question, timeout_s)).unfinished

    async def _scope(self, aggregate: AggregateId, at_least: int) -> DataSubjectView:
        return await self._asked(aggregate, DataSubjectScope(datakey=aggregate.id, at_least=at_least), ASK_TIMEOUT_S)

    async def _asked(self, aggregate: AggregateId, question: DataSubjectScope, timeout_s: float) -> DataSubjectView:
        answer = await self._ask.ask(aggregate.workspace, question, timeout_s)
        assert answer.result is not None, "an answer without error has a result"
        return msgspec.json.decode(answer.result, type=DataSubjectView)

    async def _run(self) -> None:
        consumer = ConsumerConfig(
            name=DURABLE, durable_name=DURABLE, ack_policy=AckPolicy.EXPLICIT, ack_wait=ACK_WAIT_S,
            max_ack_pending=MAX_WAITING, filter_subject=subjects.facts_of(kind="datasubject", name="erased"),
        )  # fmt: skip
        while True:
            try:
                await self._nc.jsm().add_consumer(FACTS, config=consumer)  # or bring an older release's up to date
                pull = await self._nc.jetstream().pull_subscribe_bind(DURABLE, FACTS)
                while True:
                    await self._turn(await pull.fetch(1, timeout=TURN_S))
            except (TimeoutError, nats.errors.TimeoutError):
                continue
            except (nats.errors.Error, Refusal, OSError) as error:
                _log.warning("erasures wait: %s", error)
                await asyncio.sleep(AGAIN_S)

    async def _turn(self, messages: list[Msg]) -> None:
        for message in messages:
            _, workspace, kind, id_, _ = message.subject.split(".")
            aggregate = AggregateId(workspace, kind, id_)
            metadata = message.metadata
            patience_s = RUNS_END_S if metadata.num_delivered == 1 else 0.0
            try:
                await self.carry_out(aggregate, metadata.sequence.stream, message.in_progress, patience_s)
            except RunsGoOn as waits:
                _log.log(_level(metadata.num_delivered), "%s waits: %s", aggregate.subject, waits)
                await message.nak(delay=AGAIN_S)
            else:
                await message.ack_sync()

    async def carry_out(
        self, aggregate: AggregateId, sequence: int, going_on: Callable[[], Awaitable[None]], patience_s: float
    ) -> None:
        """Destroy the key, overwrite signals and stored bytes, and say so. Every step can be repeated.

        What was created between the question whether there are unfinished runs and the decision is found here: such
        runs are cancelled, and what they said until then is overwritten as well. ``going_on`` is called now and then,
        so that nobody else begins with it. Raises ``RunsGoOn`` when some have not ended after ``patience_s``.
        """
        loaded = await self._handler.load(aggregate)
        if loaded.state.shredded_at:
            return
        await self._keys.destroy(aggregate.id, rfc3339(self._clock.now()))
        meta = Metadata(source="trialbook/gateway", actor="gateway:erasures", causation=aggregate.subject)
        before, signals, blobs = None, 0, 0
        scope = await self._scope(aggregate, sequence)
        deadline = self._clock.monotonic() + patience_s
        while scope != before:
            for run in scope.aggregates.get("run", []):
                signals += await shred(self._nc, SIGNALS, subjects.signals_of(aggregate.workspace, run))
                await going_on()
            for digest in scope.digests:
                blobs += await self._blobs.shred(digest)
                await going_on()
            before = None if await self._cancelled(aggregate, scope.unfinished, meta) else scope
            scope = await self._scope(aggregate, await self._log.last_sequence())
            if scope.unfinished and self._clock.monotonic() >= deadline:
                raise RunsGoOn(scope.unfinished)
        count = sum(len(ids) for ids in scope.aggregates.values())
        await self._handler.handle(aggregate, domain.Shred(aggregates=count, signals=signals, blobs=blobs), meta)
        _log.info("erased %s: aggregates=%d signals=%d blobs=%d", aggregate.subject, count, signals, blobs)

    async def _cancelled(self, aggregate: AggregateId, runs: Sequence[str], meta: Metadata) -> bool:
        """Cancel runs, and give their runners a moment; whether there were any."""
        for run in runs:
            try:
                await self._handler.handle(AggregateId(aggregate.workspace, "run", run), RequestCancel(), meta)
            except Conflict as refusal:  # it has just ended: the next look tells
                _log.debug("run %s of an erased data subject: %s", run, refusal)
        if runs:
            await asyncio.sleep(RUNS_S)
        return bool(runs)


def _level(looks: int) -> int:
    """Said aloud at the first look and every five minutes or so."""
    return logging.WARNING if looks % 150 == 1 else logging.DEBUG

"""What a package is made from: answers of the projector page by page, and stored bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, TypeVar

import msgspec

from trialbook import subjects
from trialbook.codec import encode, fact_of, route_of
from trialbook.domain.run.state import TERMINAL
from trialbook.envelope import Event
from trialbook.proofs import InclusionProof, LedgerCheckpoint, LedgerInclusion, NoteView
from trialbook.queries import Activity, Query, RunActivity, RunFacts, RunGet, RunLogs, RunMetrics, RunRows
from trialbook.views import RunView
from trialbook_gateway.services import Caller, Services

T = TypeVar("T")
PAGE = 1000
EVERYWHERE = "_"


class Fact(msgspec.Struct, frozen=True):
    """An item of ``run.facts``."""

    sequence: int
    event: Event


class _Facts(msgspec.Struct, frozen=True):
    items: list[Fact]
    next_cursor: str | None = None


class _Raws(msgspec.Struct, frozen=True):
    items: list[msgspec.Raw]
    next_cursor: Any = None
    has_more: bool = False


class _Index(msgspec.Struct, frozen=True):
    index: int


class Sources:
    """Questions about one run, as it was at a moment (empty: now); every answer has seen at least its last fact and
    signal.
    """

    def __init__(self, services: Services, caller: Caller, run: str, as_of: str = "") -> None:
        self._services, self._caller, self._run, self._as_of = services, caller, run, as_of
        self._seen = 0

    async def view(self) -> RunView:
        """The run."""
        at_least = self._services.seen_by(self._caller, "run", self._run, 0)
        view = await self._ask(RunGet(id=self._run, at_least=at_least, as_of=self._as_of), RunView)
        self._seen = view.sequence
        if view.status in TERMINAL:  # also when somebody has it retried while it is packed
            self._as_of = self._as_of or str(view.sequence)
        return view

    async def facts(self) -> AsyncIterator[Fact]:
        """All facts up to the run's last one in its view, as they are in the ledger."""
        after, seen = 0, self._seen
        while True:
            page = await self._ask(
                RunFacts(id=self._run, after=after, up_to=seen, limit=PAGE, at_least=seen, as_of=self._as_of), _Facts
            )
            for fact in page.items:
                yield fact
            if page.next_cursor is None:
                return
            after = int(page.next_cursor)

    async def logs(self) -> AsyncIterator[msgspec.Raw]:
        """All log lines."""
        after = 0
        while True:
            page = await self._ask(
                RunLogs(id=self._run, after=after, limit=PAGE, at_least=self._seen, as_of=self._as_of), _Raws
            )
            for line in page.items:
                yield line
            if not page.has_more:
                return
            after = int(page.next_cursor)

    async def metrics(self) -> AsyncIterator[msgspec.Raw]:
        """All measurements."""
        after = 0
        while True:
            page = await self._ask(
                RunMetrics(id=self._run, after=after, limit=PAGE, at_least=self._seen, as_of=self._as_of), _Raws
            )
            for point in page.items:
                yield point
            if page.next_cursor is None:
                return
            after = int(page.next_cursor)

    async def tables(self) -> list[str]:
        """Names of the tables that the run built."""
        found = await self._ask(RunActivity(ids=[self._run], at_least=self._seen), list[Activity])
        return sorted(found[0].rows) if found else []

    async def rows(self, kind: str) -> AsyncIterator[msgspec.Raw]:
        """All rows of one table."""
        after = 0
        while True:
            question = RunRows(id=self._run, kind=kind, after_index=after, limit=PAGE, at_least=self._seen,
                               as_of=self._as_of)  # fmt: skip
            page = await self._ask(question, _Raws)
            for row in page.items:
                yield row
            if page.next_cursor is None or not page.items:
                return
            after = msgspec.json.decode(page.items[-1], type=_Index).index

    async def checkpoint(self) -> NoteView:
        """A signed checkpoint over the run's last fact."""
        return await self._ask(LedgerCheckpoint(now=True, at_least=self._seen), NoteView, EVERYWHERE)

    async def inclusion(self, sequence: int, size: int) -> InclusionProof:
        """How a fact is in the tree of ``size`` facts."""
        return await self._ask(LedgerInclusion(sequence=sequence, size=size), InclusionProof, EVERYWHERE)

    async def stored(self, sha256: str) -> bool:
        """Whether these bytes are there still: an erasure destroys them."""
        return await self._services.blobs.stat(sha256) is not None

    def bytes_of(self, sha256: str) -> AsyncIterator[bytes]:
        """Stored bytes. Raises ``NotFound`` (code ``blob_not_found``)."""
        return self._services.blobs.get(sha256)

    async def _ask(self, question: Query, answer: type[T], workspace: str = "") -> T:
        asked = workspace or self._caller.workspace
        found = await self._services.ask.ask(asked, question, self._services.settings.ask_timeout_s)
        assert found.result is not None, "an answer without error has a result"
        return msgspec.json.decode(found.result, type=answer)


def subject_of(event: Event) -> str:
    """The NATS subject that a fact was appended to."""
    return subjects.fact(subjects.aggregate_of(event), event.type, route_of(fact_of(event)))


def line_of(fact: Fact) -> bytes:
    """A line of ``facts.ndjson``, with the event's bytes as they are in the ledger."""
    head = msgspec.json.encode({"sequence": fact.sequence, "subject": subject_of(fact.event)})
    return head[:-1] + b',"event":' + encode(fact.event) + b"}\n"

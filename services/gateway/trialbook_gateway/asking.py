"""Questions to the projector, with one check in front: a position that no ledger has reached yet is refused at once."""

from __future__ import annotations

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg

from trialbook import subjects
from trialbook.asking import NatsAsk
from trialbook.envelope import AggregateId
from trialbook.errors import Invalid, NotFound
from trialbook.log.api import ApiError, call
from trialbook.queries import (
    QUERIES,
    Answer,
    ItemGet,
    ItemList,
    Query,
    RunFacts,
    RunGet,
    RunList,
    RunLogs,
    RunMetrics,
    RunRows,
    moments,
)
from trialbook.streams import FACTS, SIGNALS
from trialbook.times import is_sequence, sequence_of
from trialbook_gateway.written import Written

_OF_ONE_THING = (ItemGet, RunGet, RunFacts, RunLogs, RunMetrics, RunRows)
NO_MESSAGE = 10037
NOT_FOUND = b'"error":{"kind":"not_found"'
HEAD_BYTES = 200


class _Told(msgspec.Struct):
    """Up to where a run was told."""

    sequence: int


_told = msgspec.json.Decoder(_Told).decode


class CheckedAsk(NatsAsk):
    """Remembers how far the streams are known to be, so that the check costs a request only for unusual positions.

    ``written`` learns of what was told: a single run comes ahead of the tables, and lists must not be older then.
    """

    def __init__(self, nc: Client, written: Written | None = None) -> None:
        super().__init__(nc)
        self._client, self._written = nc, written or Written()
        self._facts = self._signals = 0

    def known(self, facts: int) -> None:
        """Note a sequence that was appended."""
        self._facts = max(self._facts, facts)

    def told(self, workspace: str, facts: int) -> None:
        """Note up to where somebody was told what happens in a workspace: lists must not be older then."""
        self.known(facts)
        self._written.told(workspace, facts)

    async def ask(self, workspace: str, query: Query, timeout_s: float = 5.0) -> Answer:
        """See ``Ask.ask``. Raises ``Invalid`` (code ``future_sequence``) for positions beyond a stream's end."""
        await self._check(query)
        try:
            answer = await super().ask(workspace, query, timeout_s)
        except NotFound:
            # The tables may be behind what another gateway wrote: only the ledger knows that a thing does not exist.
            last = await self._last_fact(workspace, query)
            if last <= query.at_least:
                raise
            answer = await super().ask(workspace, msgspec.structs.replace(query, at_least=last), timeout_s)
        self._facts = max(self._facts, answer.facts)
        self._signals = max(self._signals, answer.signals)
        self._note(workspace, query, answer)
        return answer

    def _note(self, workspace: str, query: Query, answer: Answer) -> None:
        if isinstance(query, RunGet) and query.id and not query.as_of and answer.result is not None:
            self._written.note(AggregateId(workspace, "run", query.id), _told(answer.result).sequence)
        elif isinstance(query, RunList | ItemList) and not query.as_of:
            self.told(workspace, answer.facts)  # another projector may be behind this one

    async def ask_bytes(self, workspace: str, query: Query, timeout_s: float = 30.0) -> tuple[bytes, str]:
        """See ``NatsAsk.ask_bytes``; checked like ``ask``."""
        await self._check(query)
        return await super().ask_bytes(workspace, query, timeout_s)

    async def relay(self, workspace: str, name: str, payload: bytes, timeout_s: float) -> Msg:
        """The answer to a question as it came from outside, which may be a refusal; as ``ask``, what only the ledger
        knows yet is waited for.
        """
        reply = await self.forward(workspace, name, payload, timeout_s)
        if NOT_FOUND not in reply.data[:HEAD_BYTES]:
            return reply
        query = msgspec.json.decode(payload or b"{}", type=QUERIES[name])
        last = await self._last_fact(workspace, query)
        if last <= query.at_least:
            return reply
        again = msgspec.json.encode(msgspec.structs.replace(query, at_least=last))
        return await self.forward(workspace, name, again, timeout_s)

    async def must_exist(self, facts: int) -> None:
        """Raises ``Invalid`` (code ``future_sequence``) for a position that the ledger has not reached."""
        if facts > self._facts:
            self._facts = await self._reached(FACTS, facts)

    async def _last_fact(self, workspace: str, query: Query) -> int:
        """Sequence of the last fact of the thing that is asked for; 0: there is none."""
        if not isinstance(query, _OF_ONE_THING) or not query.id:
            return 0
        kind = query.kind if isinstance(query, ItemGet) else "run"
        wanted = {"last_by_subj": subjects.facts_of(workspace, kind, query.id)}
        try:
            return int((await call(self._client, f"STREAM.MSG.GET.{FACTS}", wanted))["message"]["seq"])
        except ApiError as error:
            if error.code == NO_MESSAGE:
                return 0
            raise

    async def _check(self, query: Query) -> None:
        await self.must_exist(query.at_least)
        for moment in moments(query):
            if is_sequence(moment):
                await self.must_exist(sequence_of(moment))
        if query.at_least_signals > self._signals:
            self._signals = await self._reached(SIGNALS, query.at_least_signals)

    async def _reached(self, stream: str, wanted: int) -> int:
        last = int((await call(self._client, f"STREAM.INFO.{stream}"))["state"]["last_seq"])
        if wanted > last:
            raise Invalid("future_sequence", f"Sequence {wanted} has not been reached; the last one is {last}.")
        return last

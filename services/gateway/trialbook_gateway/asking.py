"""Questions to the projector, with one check in front: a position that no ledger has reached yet is refused at once."""

from __future__ import annotations

from nats.aio.client import Client

from trialbook.asking import NatsAsk
from trialbook.errors import Invalid
from trialbook.log.api import call
from trialbook.queries import Answer, Query
from trialbook.streams import FACTS, SIGNALS


class CheckedAsk(NatsAsk):
    """Remembers how far the streams are known to be, so that the check costs a request only for unusual positions."""

    def __init__(self, nc: Client) -> None:
        super().__init__(nc)
        self._client = nc
        self._facts = self._signals = 0

    def known(self, facts: int) -> None:
        """Note a sequence that was appended."""
        self._facts = max(self._facts, facts)

    async def ask(self, workspace: str, query: Query, timeout_s: float = 5.0) -> Answer:
        """See ``Ask.ask``. Raises ``Invalid`` (code ``future_sequence``) for positions beyond a stream's end."""
        await self._check(query)
        answer = await super().ask(workspace, query, timeout_s)
        self._facts = max(self._facts, answer.facts)
        self._signals = max(self._signals, answer.signals)
        return answer

    async def ask_bytes(self, workspace: str, query: Query, timeout_s: float = 30.0) -> tuple[bytes, str]:
        """See ``NatsAsk.ask_bytes``; checked like ``ask``."""
        await self._check(query)
        return await super().ask_bytes(workspace, query, timeout_s)

    async def _check(self, query: Query) -> None:
        if query.at_least > self._facts:
            self._facts = await self._reached(FACTS, query.at_least)
        if query.at_least_signals > self._signals:
            self._signals = await self._reached(SIGNALS, query.at_least_signals)

    async def _reached(self, stream: str, wanted: int) -> int:
        last = int((await call(self._client, f"STREAM.INFO.{stream}"))["state"]["last_seq"])
        if wanted > last:
            raise Invalid("future_sequence", f"Sequence {wanted} has not been reached; the last one is {last}.")
        return last

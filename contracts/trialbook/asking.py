"""Ask a projector over NATS request/reply."""

from __future__ import annotations

import asyncio

import msgspec
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from trialbook import subjects
from trialbook.errors import Unavailable, refusal
from trialbook.log.connect import connected
from trialbook.queries import Answer, Query, Sql

MEDIA_TYPE = "Trialbook-Media-Type"
PAUSE_S = 0.05
TRY_S = 2.5
"""A projector may die with a question in hand; the same one is asked again, but not a statement that may take long."""
_decode = msgspec.json.Decoder(Answer).decode


class NatsAsk:
    """The Ask port. Questions only read, so they are repeated while no projector is there, until the time is over."""

    def __init__(self, nc: Client) -> None:
        self._nc = nc

    async def ask(self, workspace: str, query: Query, timeout_s: float = 5.0) -> Answer:
        """See ``Ask.ask``; workspace ``_`` asks across workspaces."""
        return _checked((await self._request(workspace, query, timeout_s)).data)

    async def ask_bytes(self, workspace: str, query: Query, timeout_s: float = 30.0) -> tuple[bytes, str]:
        """A binary result and its media type. A refusal is raised."""
        reply = await self._request(workspace, query, timeout_s)
        media_type = (reply.headers or {}).get(MEDIA_TYPE)
        if media_type is None:
            answer = _checked(reply.data)
            return bytes(answer.result or b""), "application/json"
        return reply.data, media_type

    async def _request(self, workspace: str, query: Query, timeout_s: float) -> Msg:
        return await self.forward(workspace, query.NAME, msgspec.json.encode(query), timeout_s)

    async def forward(self, workspace: str, name: str, payload: bytes, timeout_s: float) -> Msg:
        """The answer to a question as it came, whatever it says. Raises ``Unavailable`` when nobody answers."""
        subject = subjects.ask(workspace, name)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        try_s = timeout_s if name == Sql.NAME else TRY_S
        while (left := deadline - loop.time()) > 0:
            try:
                return await self._nc.request(subject, payload, timeout=min(left, try_s))
            except nats.errors.NoRespondersError:
                await asyncio.sleep(min(PAUSE_S, left))
            except (nats.errors.Error, OSError):
                await connected(self._nc, left)
                await asyncio.sleep(min(PAUSE_S, left))
        raise Unavailable(
            "projector_unavailable",
            f"No projector answered within {timeout_s:g} s; it may be starting or rebuilding. Try again.",
        )


def _checked(payload: bytes) -> Answer:
    answer = _decode(payload)
    if answer.error is not None:
        error = answer.error
        raise refusal(error.get("kind", ""), error.get("code", ""), error.get("detail", ""), error.get("extra"))
    return answer

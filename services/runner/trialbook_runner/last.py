"""The last message of a subject, by a direct get."""

from __future__ import annotations

import msgspec
from nats.aio.client import Client

from trialbook import subjects

TIMEOUT_S = 2.0


class Last(msgspec.Struct, frozen=True):
    """Its message id (empty: it has none) and its position in the stream."""

    id: str
    sequence: int


async def last_message(nc: Client, stream: str, subject: str) -> Last | None:
    """None when there is none. Raises a nats error or ``TimeoutError`` when the stream does not answer."""
    reply = await nc.request(subjects.direct_last(stream, subject), b"", timeout=TIMEOUT_S)
    headers = reply.headers or {}
    if headers.get("Status") == "404":
        return None
    return Last(headers.get("Nats-Msg-Id", ""), int(headers["Nats-Sequence"]))

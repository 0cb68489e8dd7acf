"""Pieces of bytes as messages of the stream BLOBS, ``blob.<key>.<name>``: stored, read and removed."""

from __future__ import annotations

import msgspec
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from trialbook import subjects
from trialbook.errors import Unavailable
from trialbook.log.api import call
from trialbook.streams import BLOBS

TIMEOUT_S = 10.0


async def store(nc: Client, key: str, name: str, data: bytes, headers: dict[str, str] | None = None) -> None:
    """Store a piece, and know that it is stored. Raises ``Unavailable`` (code ``blobs_unavailable``)."""
    answer = msgspec.json.decode((await _request(nc, subjects.blob(key, name), data, headers)).data)
    if "error" in answer:
        raise Unavailable("blobs_unavailable", f"The blob store refused: {answer['error'].get('description')}.")


async def fetch(nc: Client, key: str, name: str) -> bytes | None:
    """A piece; None when there is none. Raises ``Unavailable`` (code ``blobs_unavailable``)."""
    reply = await _request(nc, subjects.direct_last(BLOBS, subjects.blob(key, name)), b"")
    return None if (reply.headers or {}).get("Status") == "404" else reply.data


async def remove(nc: Client, key: str) -> None:
    """Delete all pieces under a key. Raises ``Unavailable``."""
    await call(nc, f"STREAM.PURGE.{BLOBS}", {"filter": subjects.blob(key, "*")})


async def _request(nc: Client, subject: str, payload: bytes, headers: dict[str, str] | None = None) -> Msg:
    try:
        return await nc.request(subject, payload, timeout=TIMEOUT_S, headers=headers)
    except (nats.errors.Error, OSError, TimeoutError) as error:
        raise Unavailable("blobs_unavailable", "The blob store does not answer; try again.") from error

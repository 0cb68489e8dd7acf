"""Delete stored messages so that their bytes are overwritten, not merely forgotten.

A purge or an expiry leaves the bytes in the server's files until it compacts them. The single deletion of a message
writes over it first.
"""

from __future__ import annotations

from nats.aio.client import Client

from trialbook.errors import Unavailable
from trialbook.log.api import ApiError, call
from trialbook.log.read import request_messages

BATCH = 32
"""A chunk of a blob has 256 KiB, and what is listed is sent."""
NOT_FOUND = frozenset({10037, 10043, 10057})
"""The message is gone already."""


async def shred(nc: Client, stream: str, filter_: str, *, keep_last: bool = False) -> int:
    """Overwrite and delete the messages on matching subjects; returns how many there were.

    ``keep_last`` spares the newest of them. Raises ``Unavailable``; it can be repeated.
    """
    deleted, position = 0, 0
    while found := await _sequences(nc, stream, filter_, position + 1):
        position = found[-1]
        rest = await _sequences(nc, stream, filter_, position + 1) if keep_last else [0]
        for sequence in found if rest else found[:-1]:
            await _delete(nc, stream, sequence)
            deleted += 1
    return deleted


async def _delete(nc: Client, stream: str, sequence: int) -> None:
    try:
        await call(nc, f"STREAM.MSG.DELETE.{stream}", {"seq": sequence, "no_erase": False})
    except ApiError as error:
        if error.code not in NOT_FOUND:
            raise Unavailable("shredding_refused", f"{stream} refused to delete a message: {error}.") from error


async def _sequences(nc: Client, stream: str, filter_: str, start: int) -> list[int]:
    """Where the next messages are, at most ``BATCH``."""
    messages, _ = await request_messages(nc, {"seq": start, "batch": BATCH, "next_by_subj": filter_}, stream)
    return [int((message.headers or {})["Nats-Sequence"]) for message in messages]

"""Wrapped keys of data subjects in an export, where its maker asked for them.

They open nothing without the master key of the installation that they come from, which is never exported.
"""

from __future__ import annotations

import msgspec
import nats.errors
from nats.aio.client import Client

from trialbook import subjects
from trialbook.errors import Unavailable
from trialbook.log.bulk import read_stream
from trialbook.streams import KEYS

FILE = "keys.ndjson"
TIMEOUT_S = 5.0
THERE = 10071
"""The subject has a message already: an import that goes on."""


class StoredKey(msgspec.Struct, frozen=True):
    """A line: the id of a key, and what stands under it: the wrapped key or the tombstone of an erased one."""

    id: str
    stored: msgspec.Raw


async def taken(url: str) -> bytes:
    """All keys and tombstones as lines; the newest word on each counts."""
    newest: dict[str, bytes] = {}
    async for batch in read_stream(url, KEYS, [subjects.KEYS_ALL], 0):
        newest.update((message.subject.rsplit(".", 1)[-1], message.data) for message in batch)
    return b"".join(msgspec.json.encode(StoredKey(id_, msgspec.Raw(data))) + b"\n" for id_, data in newest.items())


async def given(nc: Client, lines: bytes) -> None:
    """Store keys; those that are there already stay as they are. Raises ``Unavailable``."""
    for line in lines.splitlines():
        key = msgspec.json.decode(line, type=StoredKey)
        headers = {"Nats-Expected-Last-Subject-Sequence": "0"}
        try:
            reply = await nc.request(subjects.key(key.id), bytes(key.stored), timeout=TIMEOUT_S, headers=headers)
        except (nats.errors.Error, TimeoutError, OSError) as error:
            raise Unavailable(
                "ledger_unavailable", "The server did not take the keys; run the import again."
            ) from error
        problem = msgspec.json.decode(reply.data).get("error")
        if problem and problem.get("err_code") != THERE:
            raise Unavailable("ledger_refused", f"The server refused a key: {problem.get('description')}.")

"""The CHECKPOINTS stream: signed notes in the order in which they were appended."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
import nats.errors
from nats.aio.client import Client

from trialbook import subjects
from trialbook.errors import TimedOut
from trialbook.log.api import ApiError, call
from trialbook.log.read import request_messages
from trialbook.ports import VersionConflict
from trialbook.streams import CHECKPOINTS

BATCH = 500
APPEND_TIMEOUT_S = 5.0
WRONG_LAST_SEQUENCE = frozenset({10071, 10164})


class Noted(msgspec.Struct, frozen=True):
    """A note as stored, with its place in the stream."""

    sequence: int
    data: bytes


async def last_note(nc: Client) -> int:
    """Sequence of the last note; 0: there is none."""
    return int((await call(nc, f"STREAM.INFO.{CHECKPOINTS}"))["state"]["last_seq"])


async def read_notes(nc: Client, after: int = 0) -> AsyncIterator[Noted]:
    """Every note after a place, in order. Raises ``Unavailable``."""
    more = True
    while more:
        page, more = await note_page(nc, after, BATCH)
        for note in page:
            after = note.sequence
            yield note


async def note_page(nc: Client, after: int, limit: int) -> tuple[list[Noted], bool]:
    """At most ``limit`` notes after a place, and whether there are more. Raises ``Unavailable``."""
    request = {"seq": after + 1, "batch": limit, "next_by_subj": subjects.CHECKPOINTS_ALL}
    messages, more = await request_messages(nc, request, CHECKPOINTS)
    return [Noted(int((message.headers or {})["Nats-Sequence"]), message.data) for message in messages], more


async def append_note(nc: Client, origin: str, data: bytes, after: int) -> int:
    """Append a note behind the one at ``after``, the last one so far; returns its place.

    Raises ``VersionConflict`` when somebody else appended meanwhile, ``TimedOut`` when the outcome is unknown.
    """
    headers = {"Nats-Expected-Last-Sequence": str(after)}
    try:
        reply = await nc.request(subjects.checkpoint(origin), data, timeout=APPEND_TIMEOUT_S, headers=headers)
    except (nats.errors.Error, OSError) as error:
        raise TimedOut("ledger_timeout", "The checkpoint may or may not have been appended; read it back.") from error
    answer = msgspec.json.decode(reply.data)
    if "error" in answer:
        problem = answer["error"]
        if problem.get("err_code") in WRONG_LAST_SEQUENCE:
            raise VersionConflict
        raise ApiError(int(problem.get("err_code", 0)), str(problem.get("description", "")))
    return int(answer["seq"])

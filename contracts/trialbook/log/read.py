"""Read one aggregate's messages with batched direct gets: no consumer to create, about a millisecond."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from trialbook.codec import decode_event
from trialbook.envelope import Recorded
from trialbook.errors import Unavailable
from trialbook.log.connect import connected
from trialbook.streams import FACTS

BATCH = 1000
READ_TIMEOUT_S = 2.0
TRIES = 4


async def read_facts(nc: Client, filter_: str, after: int) -> list[Recorded]:
    """All facts on subjects matching ``filter_`` with a sequence above ``after``. Raises ``Unavailable``."""
    found: list[Recorded] = []
    position = after
    while True:
        page, more = await request_messages(nc, {"seq": position + 1, "batch": BATCH, "next_by_subj": filter_})
        found.extend(map(recorded, page))
        if not more:
            return found
        position = found[-1].sequence


def recorded(message: Msg) -> Recorded:
    """The fact of a message that a direct get returned."""
    return Recorded(sequence=int((message.headers or {})["Nats-Sequence"]), event=decode_event(message.data))


async def request_messages(nc: Client, request: dict[str, Any], stream: str = FACTS) -> tuple[list[Msg], bool]:
    """One direct get of at most ``BATCH`` messages, and whether there are more. Raises ``Unavailable``."""
    failures = 0
    while True:
        try:
            return await _request(nc, request, stream)
        except (TimeoutError, nats.errors.Error, OSError) as error:
            failures += 1
            if failures == TRIES or not await connected(nc, READ_TIMEOUT_S):
                raise Unavailable("ledger_unavailable", "The ledger does not answer; try again.") from error


async def _request(nc: Client, request: dict[str, Any], stream: str) -> tuple[list[Msg], bool]:
    inbox = nc.new_inbox()
    subscription = await nc.subscribe(inbox, max_msgs=BATCH + 1)
    try:
        await nc.publish(f"$JS.API.DIRECT.GET.{stream}", msgspec.json.encode(request), reply=inbox)
        return await asyncio.wait_for(_collect(subscription), READ_TIMEOUT_S)
    finally:
        await subscription.unsubscribe()


async def _collect(subscription: object) -> tuple[list[Msg], bool]:
    page: list[Msg] = []
    while True:
        message: Msg = await subscription.next_msg(timeout=READ_TIMEOUT_S)  # type: ignore[attr-defined]
        headers = message.headers or {}
        status = headers.get("Status")
        if status == "204":  # end of batch
            return page, int(headers.get("Nats-Num-Pending", "0")) > 0
        if status == "404":
            return page, False
        if status is not None:
            raise Unavailable("ledger_unavailable", f"The ledger answered {status} {headers.get('Description', '')}.")
        page.append(message)

"""Requests of users to running attempts: the facts that ask for a cancellation, a pause or its withdrawal."""

from __future__ import annotations

import logging

from nats.aio.client import Client

from trialbook import subjects
from trialbook.envelope import AggregateId
from trialbook.errors import Unavailable
from trialbook.log.tail import Tail
from trialbook.streams import FACTS
from trialbook_runner.attempt import Attempt

log = logging.getLogger(__name__)
NAMES = ("cancel_requested", "pause_requested", "resume_requested")


async def follow_notices(nc: Client, after: int, attempts: dict[AggregateId, Attempt]) -> None:
    """Pass requests on for ever. Those before ``after`` are seen in the state that a claim folds."""
    filters = [subjects.facts_of(kind="run", name=name) for name in NAMES]
    async with Tail(nc, FACTS, filters, after) as tail:
        while True:
            try:
                batch = await tail.next()
            except Unavailable as error:
                log.warning("notices: %s", error.detail)
                continue
            for message in batch:
                _, workspace, kind, id_, name, *_ = message.subject.split(".")
                attempt = attempts.get(AggregateId(workspace, kind, id_))
                if attempt is not None:
                    _pass_on(attempt, name)


def _pass_on(attempt: Attempt, name: str) -> None:
    if name == "cancel_requested":
        attempt.ask_cancel()
    else:
        attempt.control.ask("pause" if name == "pause_requested" else "resume")

"""What happens to a delivered queue entry: executed, dropped, or given back, with the reason in the log."""

from __future__ import annotations

import logging

import msgspec

from trialbook.codec import UnknownEvent
from trialbook.domain.run import RunState
from trialbook.domain.run.events import Queued, Submitted
from trialbook.envelope import Event
from trialbook.errors import Conflict, NotFound, TimedOut, Unavailable
from trialbook.handle import Loaded
from trialbook_runner.attempt import Attempt, Parts, seconds_until
from trialbook_runner.entry import Entry, Order, known_from, run_of
from trialbook_runner.inline import run_inline

log = logging.getLogger(__name__)
UNREADABLE_S = 30.0
AGAIN_S = 0.5
KEYLESS = frozenset({"data_key_missing", "vault_not_configured"})
"""The run belongs to a data subject whose key is not here, as after an import without keys."""
DROPPED = frozenset({"stale_ticket", "run_not_queued", "stale_attempt"})


class Dispatcher:
    """Handles entries; never raises."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def handle(self, entry: Entry) -> None:
        """One entry from delivery to acknowledgement."""
        try:
            await self._execute(entry)
        except (UnknownEvent, msgspec.MsgspecError) as error:
            log.error("entry %d cannot be read by this version, leaving it to others: %s", entry.sequence, error)  # noqa: TRY400
            await entry.nak(UNREADABLE_S)
        except NotFound:
            await entry.ack()
        except Conflict as refusal:
            await self._conflict(entry, refusal)
        except (Unavailable, TimedOut) as refusal:
            log.warning("entry %d: %s", entry.sequence, refusal.detail)
            await entry.nak(UNREADABLE_S if refusal.code in KEYLESS else AGAIN_S)

    async def _execute(self, entry: Entry) -> None:
        event, fact = entry.decode()
        if self._parts.leases.settling and await self._owned(event):
            log.info("entry %d: left to its owner, who may only be reconnecting", entry.sequence)
            return
        order = Order(event, fact, await self._known(event, fact, entry.sequence))
        if order.isolation == "inline":
            await run_inline(self._parts, entry, order)
        else:
            await Attempt(self._parts, entry, order).run()

    async def _known(self, event: Event, fact: Submitted | Queued, sequence: int) -> Loaded[RunState]:
        """The run, read only when neither the entry nor what let it into its lane tells."""
        run = run_of(event)
        known = known_from(event, fact, sequence) or self._parts.handler.let_in(run, sequence)
        return known or await self._parts.handler.load(run)

    async def _owned(self, event: Event) -> bool:
        loaded = await self._parts.outside.load(run_of(event))
        return bool(loaded.state.status == "running")

    async def _conflict(self, entry: Entry, refusal: Conflict) -> None:
        if refusal.code in DROPPED:
            await entry.ack()
        elif refusal.code == "not_yet":
            await entry.nak(seconds_until(refusal.extra["not_before"], self._parts.clock.now()))
        else:
            log.warning("entry %d: %s", entry.sequence, refusal.detail)
            await entry.nak(AGAIN_S)

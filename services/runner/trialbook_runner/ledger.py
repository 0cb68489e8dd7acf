"""No new work on a damaged ledger: what a projector says about it is followed, and the pools take nothing meanwhile."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import msgspec
from nats.aio.client import Client

from trialbook import subjects
from trialbook.errors import Unavailable
from trialbook.log.tail import Tail
from trialbook.proofs import LedgerInfo
from trialbook.streams import PRESENCE
from trialbook_runner.claim import Pool

log = logging.getLogger(__name__)


async def follow_ledger(nc: Client, pools: Sequence[Pool]) -> None:
    """Hold the pools while any projector says that the ledger is damaged, for ever."""
    damaged: set[str] = set()
    async with Tail(nc, PRESENCE, [subjects.LEDGERS], 0) as tail:
        while True:
            try:
                batch = await tail.next()
            except Unavailable as error:
                log.warning("ledger: %s", error.detail)
                continue
            for message in batch:
                info = msgspec.json.decode(message.data, type=LedgerInfo)
                if info.state != "damaged":
                    damaged.discard(info.id)
                elif info.id not in damaged:
                    damaged.add(info.id)
                    log.error("no more runs are taken: %s", info.why)
            for pool in pools:
                pool.held = bool(damaged)

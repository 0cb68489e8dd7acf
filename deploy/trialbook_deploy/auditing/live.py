"""Verify a running ledger: its facts as the server gives them, against a projector's hashes and all checkpoints."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec
from nats.aio.client import Client

from trialbook.asking import NatsAsk
from trialbook.audit.signer import PublicKey, origin_of
from trialbook.audit.tiles import WIDTH, Tile, hashes
from trialbook.proofs import LedgerInfo, LedgerState, LedgerTile
from trialbook_deploy.auditing.export import Tell
from trialbook_projector.ledger.files import TileWriter
from trialbook_projector.ledger.verifying import Outcome, Task, verify

ASK_S = 10.0
AT_ONCE = 64


async def verify_live(
    nc: Client, url: str, keys: Sequence[PublicKey], segments: str, scratch: Path, tell: Tell
) -> tuple[Outcome, int]:
    """The outcome, and how many facts there were. ``scratch`` is an empty folder. Raises ``Unavailable``."""
    ask = NatsAsk(nc)
    answer = await ask.ask("_", LedgerState(), ASK_S)
    info = msgspec.json.decode(answer.result or b"{}", type=LedgerInfo)
    files = await asyncio.to_thread(TileWriter, scratch)
    while files.size < info.size:
        wanted = range(files.size // WIDTH, min(files.size // WIDTH + AT_ONCE, -(-info.size // WIDTH)))
        leaves: list[bytes] = []
        for number in wanted:
            tile = Tile(0, number, min(WIDTH, info.size - number * WIDTH))
            content, _ = await ask.ask_bytes("_", LedgerTile(path=tile.path), ASK_S)
            leaves += hashes(content)
        await asyncio.to_thread(files.append, leaves)
        tell("hashes", files.size, info.size)
    files.close()
    task = Task(
        url=url, folder=str(scratch), size=info.size, keys=[key.text for key in keys], origin=origin_of(keys),
        segments=segments, environment=dict(os.environ),
    )  # fmt: skip
    return await verify(nc, task, lambda done: tell("facts", done, info.size)), info.size

"""What is done once instead of served: a rebuild on demand, and the building of one file."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import nats.errors
from nats.aio.client import Client

from trialbook import subjects
from trialbook.errors import refusal
from trialbook.log.connect import connect
from trialbook.queries import Answer
from trialbook.vault.keys import master_key
from trialbook.vault.ring import KeyRing
from trialbook_projector.build import build
from trialbook_projector.live import Live, Tables, opener
from trialbook_projector.queries.reading import EVERYWHERE
from trialbook_projector.rebuild import Order, Rebuilder, Report
from trialbook_projector.segments_store import open_storage
from trialbook_projector.settings import Settings
from trialbook_projector.tables.store import Positions, current_path

REBUILD_S = 24 * 3600.0


async def rebuild(settings: Settings, *, check: bool) -> tuple[bool, str]:
    """Have the running projector rebuild its tables, or do it here when none is running.

    Returns whether old and new tables are identical, and the report as JSON.
    """
    nc = await connect(settings.nats_url, name="projector-rebuild")
    try:
        try:
            reply = await nc.request(
                subjects.ask(EVERYWHERE, subjects.REBUILD), msgspec.json.encode(Order(check=check)), timeout=REBUILD_S
            )
        except nats.errors.NoRespondersError:
            report = await _rebuild_here(nc, settings, check=check)
        else:
            answer = msgspec.json.decode(reply.data, type=Answer)
            if answer.error is not None:
                error = answer.error
                raise refusal(error["kind"], error["code"], error["detail"], error.get("extra"))
            report = msgspec.json.decode(answer.result or b"null", type=Report)
        return report.identical, msgspec.json.format(msgspec.json.encode(report)).decode()
    finally:
        await nc.close()


async def _rebuild_here(nc: Client, settings: Settings, *, check: bool) -> Report:
    keys = KeyRing(nc, master_key(settings.environment))
    live = Live(await asyncio.to_thread(Tables, current_path(settings.folder), settings, opener(keys)), keys)
    try:
        rebuilder = Rebuilder(nc, live, settings)
        await rebuilder.start()
        return await rebuilder.rebuild(check=check)
    finally:
        await live.close()


async def build_file(settings: Settings, path: str, facts: int, signals: int) -> None:
    """Build one file from the streams up to the given positions."""
    nc = await connect(settings.nats_url, name="projector-build")
    storage = open_storage(settings.segments, settings.environment)
    keys = KeyRing(nc, master_key(settings.environment))
    try:
        await build(nc, settings.nats_url, Path(path), settings.duckdb, Positions(facts, signals), keys, storage)
    finally:
        await nc.close()
